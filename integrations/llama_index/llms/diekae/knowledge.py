"""From what LlamaIndex holds (context strings, nodes, messages) to passages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore

from diekae_rag import DiekaeModel, Passage
from diekae_rag.passages import as_passage
from diekae_rag.prompting import start_tokens

__all__ = ["as_record", "read_context", "read_documents", "read_nodes", "text_of"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")

# What SimpleDirectoryReader writes above a node's text, each key on a line of its own.
_FILE_KEYS = (
    "creation_date|file_name|file_path|file_size|file_type|last_accessed_date|"
    "last_modified_date|page_label"
)
_FILE_LINE = re.compile(rf"({_FILE_KEYS}): (.*)")


def read_context(value: Any, engine: DiekaeModel) -> list[Passage]:
    """Passages from the value of a context variable.

    Synthesizers join nodes before they ask, so where one ends is no longer known. Encoders read
    short passages that are about one thing: the text is taken apart at blank lines (what packing
    puts between nodes), and a paragraph longer than the encoders' limit at its sentences, so that
    nothing is cut. A paragraph that holds only the file metadata of ``SimpleDirectoryReader``
    becomes the metadata of the one after it. Other metadata cannot be told from text and is read
    with it; list it in ``excluded_llm_metadata_keys``, or use ``DiekaeSynthesizer``.

    Args:
        value: A string, a list of them, or a list of messages.
        engine: Whose encoders will read the passages.

    Raises:
        TypeError: Something else, or a message that holds more than text.
    """
    if isinstance(value, str):
        return [piece for passage in _paragraphs(value) for piece in _pieces(passage, engine)]
    if isinstance(value, ChatMessage):
        return read_context(text_of(value), engine)
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return [passage for item in value for passage in read_context(item, engine)]
    raise TypeError(f"cannot read context from {type(value).__name__}; pass a str or a list.")


def read_documents(items: Any) -> list[Passage]:
    """Passages from the ``documents`` a caller passed: each is one passage, as it is.

    Args:
        items: A list of ``Passage``, ``str``, mapping with ``"text"``, node, or node with score;
            ``None`` is the empty list.

    Raises:
        TypeError: Not a list, or something in it that is no passage.
    """
    if items is None:
        return []
    if isinstance(items, str | Mapping | Passage | BaseNode | NodeWithScore) or not isinstance(
        items, Iterable
    ):
        raise TypeError(
            f"documents must be a list, got one {type(items).__name__}; wrap it: documents=[...]."
        )
    return [_read_document(item) for item in items]


def read_nodes(nodes: Sequence[NodeWithScore], engine: DiekaeModel) -> list[Passage]:
    """Passages from retrieved nodes, without metadata lines; one too long becomes several."""
    return [piece for node in nodes for piece in _pieces(_read_document(node), engine)]


def text_of(message: ChatMessage) -> str:
    """The text of a message.

    Raises:
        TypeError: It holds an image, a sound or a file, which this model cannot read.
    """
    for block in message.blocks:
        if block.block_type in ("audio", "document", "image", "video"):
            raise TypeError(f"this model reads text, got a message with {block.block_type}.")
    return "\n".join(block.text for block in message.blocks if isinstance(block, TextBlock))


def as_record(passage: Passage) -> dict[str, Any]:
    """A passage as JSON values."""
    metadata = json.loads(json.dumps(dict(passage.metadata), default=str))
    score = None if passage.score is None else float(passage.score)
    return {"id": passage.id, "text": passage.text, "score": score, "metadata": metadata}


def _read_document(item: Any) -> Passage:
    score = None
    if isinstance(item, NodeWithScore):
        item, score = item.node, item.score
    if not isinstance(item, BaseNode):
        return as_passage(item)
    text = item.get_content(metadata_mode=MetadataMode.NONE)
    return Passage(text, item.node_id, score, dict(item.metadata))


def _paragraphs(text: str) -> Iterable[Passage]:
    found: dict[str, str] = {}
    for paragraph in _BLANK_LINES.split(text.strip()):
        lines = [_FILE_LINE.fullmatch(line) for line in paragraph.split("\n")]
        if all(lines):
            found = {line[1]: line[2] for line in lines if line}
        elif paragraph.strip():
            yield Passage(paragraph, metadata=found)
            found = {}


def _pieces(passage: Passage, engine: DiekaeModel) -> list[Passage]:
    """The passage, or where it is longer than the encoders' limit, its sentences in groups."""
    tokenizer, wording = engine.tokenizer, engine.wording
    around = len(wording.tokenize_passages(tokenizer, [""])[0])
    room = engine.encoders.config.max_passage_tokens - len(start_tokens(tokenizer)) - around

    def tokens(text: str) -> list[int]:
        return wording.tokenize_passages(tokenizer, [text])[0][around:]

    if room < 1 or len(tokens(passage.text)) <= room:
        return [passage]
    splitter = SentenceSplitter(chunk_size=room, chunk_overlap=0, tokenizer=tokens)
    same = (passage.score, passage.metadata)
    return [Passage(text, passage.id, *same) for text in splitter.split_text(passage.text)]

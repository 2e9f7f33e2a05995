"""From what LlamaIndex holds (context strings, nodes, messages) to passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore
from llama_index.llms.diekae.splitting import paragraphs, split_long

from diekae_rag import DiekaeModel, Passage
from diekae_rag.passages import as_passage

__all__ = [
    "Context",
    "Document",
    "attached_documents",
    "read_context",
    "read_documents",
    "read_nodes",
    "text_of",
    "to_passages",
]


@dataclass(frozen=True, slots=True)
class Context:
    """The value of a context variable, not yet taken apart.

    That takes a tokenizer and time, and prompts are formatted on the event loop: it is left to
    the thread that answers, see ``to_passages``.
    """

    value: Any


Document = Passage | Context


def to_passages(documents: Iterable[Document], engine: DiekaeModel) -> list[Passage]:
    """The documents with every context among them taken apart.

    Raises:
        TypeError: A context that ``read_context`` cannot read.
    """
    return [
        passage
        for document in documents
        for passage in (
            read_context(document.value, engine) if isinstance(document, Context) else [document]
        )
    ]


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
    return split_long((p for text in _texts(value) for p in paragraphs(text)), engine)


def read_documents(items: Any) -> list[Document]:
    """Documents as a caller passed them: each is one passage, as it is.

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
    return [item if isinstance(item, Context) else _read_document(item) for item in items]


def attached_documents(messages: Sequence[ChatMessage]) -> list[Document]:
    """What messages bring along in ``additional_kwargs["documents"]``.

    The latest first: what does not fit the encoders is left out from the end.

    Raises:
        TypeError: As ``read_documents``, or these are no messages.
    """
    for message in messages:
        if not isinstance(message, ChatMessage):
            raise TypeError(
                f"messages must be a list of ChatMessage, got {type(message).__name__} in it."
            )
    return [
        document
        for message in reversed(messages)
        for document in read_documents(message.additional_kwargs.get("documents"))
    ]


def read_nodes(nodes: Sequence[NodeWithScore], engine: DiekaeModel) -> list[Passage]:
    """Passages from retrieved nodes, without metadata lines; one too long becomes several."""
    return split_long(map(_read_document, nodes), engine)


def text_of(message: ChatMessage) -> str:
    """The text of a message.

    Raises:
        TypeError: It holds an image, a sound or a file, which this model cannot read.
    """
    for block in message.blocks:
        if block.block_type in ("audio", "document", "image", "video"):
            raise TypeError(f"this model reads text, got a message with {block.block_type}.")
    return "\n".join(block.text for block in message.blocks if isinstance(block, TextBlock))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, ChatMessage):
        yield text_of(value)
    elif isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        for item in value:
            yield from _texts(item)
    else:
        raise TypeError(f"cannot read context from {type(value).__name__}; pass a str or a list.")


def _read_document(item: Any) -> Passage:
    score = None
    if isinstance(item, NodeWithScore):
        item, score = item.node, item.score
    if not isinstance(item, BaseNode):
        return as_passage(item)
    text = item.get_content(metadata_mode=MetadataMode.NONE)
    return Passage(text, item.node_id, score, dict(item.metadata))

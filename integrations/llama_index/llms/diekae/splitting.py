"""Text taken apart: at blank lines, and at sentences where encoders could not read it whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llama_index.core.node_parser import SentenceSplitter

from diekae_rag import DiekaeModel, Passage
from diekae_rag.prompting import start_tokens

__all__ = ["paragraphs", "split_long"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")

# What SimpleDirectoryReader writes above a node's text, each key on a line of its own.
_FILE_KEYS = (
    "creation_date|file_name|file_path|file_size|file_type|last_accessed_date|"
    "last_modified_date|page_label"
)
_FILE_LINE = re.compile(rf"({_FILE_KEYS}): (.*)")


def paragraphs(text: str) -> Iterator[Passage]:
    r"""A passage for each paragraph; one of file metadata alone is that of the next.

    Example:
        >>> [(p.text, p.metadata) for p in paragraphs("page_label: 2\n\nAda.")]
        [('Ada.', {'page_label': '2'})]
    """
    found: dict[str, str] = {}
    for paragraph in _BLANK_LINES.split(text.strip()):
        lines = [_FILE_LINE.fullmatch(line) for line in paragraph.split("\n")]
        if all(lines):
            found = {line[1]: line[2] for line in lines if line}
        elif paragraph.strip():
            yield Passage(paragraph, metadata=found)
            found = {}


def split_long(passages: Iterable[Passage], engine: DiekaeModel) -> list[Passage]:
    """The passages; in place of one longer than the encoders' limit, its sentences in groups."""
    given = list(passages)
    tokenizer, wording = engine.tokenizer, engine.wording
    # Measured with a letter: a blank before a passage may be one token with how it begins.
    around = len(wording.tokenize_passages(tokenizer, ["a"])[0]) - 1
    room = engine.encoders.config.max_passage_tokens - len(start_tokens(tokenizer)) - around
    rows = wording.tokenize_passages(tokenizer, [passage.text for passage in given])
    is_long = [len(row) - around > room for row in rows]
    if room < 1 or not any(is_long):
        return given

    def tokens(text: str) -> list[int]:
        return wording.tokenize_passages(tokenizer, [text])[0][around:]

    splitter = SentenceSplitter(chunk_size=room, chunk_overlap=0, tokenizer=tokens)
    return [
        piece
        for passage, long in zip(given, is_long, strict=True)
        for piece in (_pieces(passage, splitter) if long else [passage])
    ]


def _pieces(passage: Passage, splitter: SentenceSplitter) -> Iterator[Passage]:
    for text in splitter.split_text(passage.text):
        yield Passage(text, passage.id, passage.score, passage.metadata)

"""LangChain documents and our passages, translated into each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from langchain_core.documents import Document

from diekae_rag.passages import Passage, as_passage

__all__ = [
    "DocumentLike",
    "DocumentsLike",
    "align_documents",
    "to_document",
    "to_passages",
    "without_repeats",
]

DocumentLike = Document | Passage | str | Mapping[str, Any]
DocumentsLike = Iterable[DocumentLike] | Sequence[Iterable[DocumentLike] | None] | None
"""A list of documents for every prompt, or a list of such lists."""


def to_document(passage: Passage) -> Document:
    """A passage as a document; its score, where it has one, is ``metadata["score"]``.

    Example:
        >>> to_document(Passage("Turin.", id="t", score=0.5)).metadata
        {'score': 0.5}
    """
    metadata = dict(passage.metadata)
    if passage.score is not None:
        metadata["score"] = passage.score
    return Document(page_content=passage.text, id=passage.id, metadata=metadata)


def to_passages(documents: Iterable[DocumentLike] | None) -> list[Passage]:
    """Reads a list of documents; ``None`` is the empty list.

    A number in a document's ``metadata["score"]`` becomes the passage's score.

    Raises:
        TypeError: ``documents`` is one document (a list was needed), or an item is none.

    Example:
        >>> to_passages([Document(page_content="Turin.", metadata={"score": 0.5})])[0].score
        0.5
    """
    if documents is None:
        return []
    if isinstance(documents, str | Passage | Mapping | Document) or not isinstance(
        documents, Iterable
    ):
        raise TypeError(
            f"documents must be a list, got one {type(documents).__name__}; "
            "wrap it: documents=[...]."
        )
    return [_to_passage(item) for item in documents]


def _to_passage(item: Any) -> Passage:
    passage = as_passage(item)
    score = passage.metadata.get("score") if isinstance(item, Document) else None
    if not isinstance(score, Real) or isinstance(score, bool):
        return passage
    metadata = {key: value for key, value in passage.metadata.items() if key != "score"}
    return replace(passage, score=float(score), metadata=metadata)


def align_documents(documents: DocumentsLike, count: int) -> list[list[Passage]]:
    """One list of passages per prompt, from one list for all of them or one list each.

    Args:
        documents: A list of documents, or a list of such lists (``None`` for a prompt without).
        count: How many prompts there are.

    Raises:
        ValueError: There are not as many lists as prompts.
        TypeError: Something is no document, or documents and lists of them are mixed; or an
            iterator, of which nothing is left when a binding, a retry or a fallback asks again.
    """
    if isinstance(documents, Iterator):
        raise TypeError(
            f"documents must be a list, got a {type(documents).__name__}, which can be read once "
            "only; models that are bound, retried or have fallbacks are asked again: list(...)."
        )
    given: Any = documents if isinstance(documents, list | tuple) else to_passages(documents)  # type: ignore[arg-type]
    are_lists = [item is None or isinstance(item, list | tuple) for item in given]
    if not any(are_lists):
        passages = to_passages(given)
        return [passages for _ in range(count)]
    if not all(are_lists):
        raise TypeError("documents must be all documents, or all lists of them (one per prompt).")
    if len(given) != count:
        raise ValueError(f"{count} prompts came with {len(given)} lists of documents.")
    return [to_passages(item) for item in given]


def without_repeats(passages: Iterable[Passage]) -> list[Passage]:
    """The same, but of those with one text only the first.

    Example:
        >>> [p.text for p in without_repeats([Passage("a"), Passage("b"), Passage("a", id="7")])]
        ['a', 'b']
    """
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(passage.text, passage)
    return list(first.values())

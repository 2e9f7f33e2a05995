"""What a search is asked, checked before any model is loaded."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from diekae_rag.index.encodable import encodable_text

__all__ = ["as_count", "as_ids", "as_questions"]


def as_count(k: int, what: str = "k", least: int = 1) -> int:
    """Reads how many passages to find, or another number of passages.

    Example:
        >>> as_count(0)
        Traceback (most recent call last):
        ...
        ValueError: k=0 passages cannot be found; ask for 1 or more.
    """
    if isinstance(k, bool):
        raise TypeError(f"{what} must be an integer, got a bool.")
    try:
        k = operator.index(k)
    except TypeError as error:
        raise TypeError(f"{what} must be an integer, got {type(k).__name__}.") from error
    if k < least:
        doing = "found" if what == "k" else "counted"
        raise ValueError(f"{what}={k} passages cannot be {doing}; ask for {least} or more.")
    return k


def as_questions(queries: Sequence[str]) -> list[str]:
    """Reads a list of questions, none of them blank; lone surrogates become U+FFFD."""
    if isinstance(queries, str):
        raise TypeError("queries must be a list, got one string; use search, or wrap it.")
    for query in queries:
        if not isinstance(query, str):
            raise TypeError(f"a question must be a str, got {type(query).__name__}.")
        if not query.strip():
            raise ValueError("the question is blank; ask something.")
    return [encodable_text(query) for query in queries]


def as_ids(ids: Iterable[str], what: str = "ids") -> list[str]:
    """Reads a list of ids, or of other names.

    Example:
        >>> as_ids("ada")
        Traceback (most recent call last):
        ...
        TypeError: ids must be a list, got one string; wrap it: ['ada'].
    """
    if isinstance(ids, str):
        raise TypeError(f"{what} must be a list, got one string; wrap it: [{ids!r}].")
    wanted = list(ids)
    for id_ in wanted:
        if not isinstance(id_, str):
            raise TypeError(f"each of {what} must be a str, got {type(id_).__name__}.")
    return wanted

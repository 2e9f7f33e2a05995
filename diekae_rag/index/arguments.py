"""What a search is asked, checked before any model is loaded."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence

from diekae_rag.index.conditions import Condition, Filter
from diekae_rag.index.encodable import encodable_text

__all__ = ["as_count", "as_filter", "as_ids", "as_questions"]


def as_count(k: int) -> int:
    """Reads how many passages to find.

    Example:
        >>> as_count(0)
        Traceback (most recent call last):
        ...
        ValueError: k=0 passages cannot be found; ask for 1 or more.
    """
    if isinstance(k, bool):
        raise TypeError("k must be an integer, got a bool.")
    try:
        k = operator.index(k)
    except TypeError as error:
        raise TypeError(f"k must be an integer, got {type(k).__name__}.") from error
    if k < 1:
        raise ValueError(f"k={k} passages cannot be found; ask for 1 or more.")
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


def as_filter(filter: Filter | None) -> Filter:
    """Reads a filter; ``None`` is the one that everything passes."""
    if filter is None:
        return {}
    if isinstance(filter, Condition):
        return filter
    if not isinstance(filter, Mapping):
        raise TypeError(
            f"filter must map metadata keys to values, or be a condition, "
            f"got {type(filter).__name__}."
        )
    for key in filter:
        if not isinstance(key, str):
            raise TypeError(f"a filter's keys must be str, got {type(key).__name__}.")
    return filter


def as_ids(ids: Iterable[str]) -> list[str]:
    """Reads a list of passage ids."""
    if isinstance(ids, str):
        raise TypeError(f"ids must be a list, got one string; wrap it: [{ids!r}].")
    wanted = list(ids)
    for id_ in wanted:
        if not isinstance(id_, str):
            raise TypeError(f"an id must be a str, got {type(id_).__name__}.")
    return wanted

"""What LangChain's vector stores filter by, read as a filter of an index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document

from diekae_rag import PassageIndex
from diekae_rag.index.conditions import AllOf, AnyOf, Filter, NoneOf, Where, WithId, as_filter
from langchain_diekae.documents import to_document

__all__ = ["FilterLike", "check_filter", "read_filter"]

FilterLike = Filter | Callable[[Document], bool]
"""A filter of ``PassageIndex.search``, which may have ``$`` operators; or a function."""

_JOINS: dict[str, type[AllOf | AnyOf]] = {"$and": AllOf, "$or": AnyOf}
_OPERATORS = {
    "$eq": "==",
    "$ne": "!=",
    "$neq": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "in",
    "$nin": "not in",
}


def read_filter(filter: FilterLike | None, index: PassageIndex) -> Filter:
    """Reads a filter as other stores take it.

    Args:
        filter: A mapping of metadata keys to values, in which there may be ``$and``, ``$or`` and
            ``$not``, and for a value operators: ``{"year": {"$gte": 1990}}`` (``$eq``, ``$ne``,
            ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$in``, ``$nin``; they compare as ``Where``
            does). Or a condition. Or a function of a document, which is asked about every document
            in the index, so that a mapping is much faster.
        index: What is filtered.

    Raises:
        ValueError: An operator that is not one of these.
        TypeError: Something else, or a value that its operator cannot compare.

    Example:
        >>> read_filter({"year": {"$gte": 1990}}, PassageIndex())
        AllOf(parts=(AllOf(parts=(Where(key='year', operator='>=', value=1990),)),))
    """
    if not callable(filter):
        return check_filter(filter)
    passages = index.matching({})
    return WithId([passage.id for passage in passages if filter(to_document(passage))])


def check_filter(filter: Any) -> Filter:
    """As ``read_filter``, for all but functions."""
    plain = as_filter(filter)
    if not isinstance(plain, Mapping) or not any(_has_operator(*item) for item in plain.items()):
        return plain
    return AllOf([_part(key, value) for key, value in plain.items()])


def _has_operator(key: str, value: Any) -> bool:
    return key.startswith("$") or (
        isinstance(value, Mapping) and any(str(name).startswith("$") for name in value)
    )


def _part(key: str, value: Any) -> Filter:
    if not _has_operator(key, value):
        return {key: value}
    if key == "$not":
        return NoneOf([check_filter(value)])
    if key in _JOINS:
        return _JOINS[key]([check_filter(part) for part in value])
    if unknown := [name for name in ([key] if key[0] == "$" else value) if name not in _OPERATORS]:
        known = ", ".join([*_OPERATORS, *_JOINS, "$not"])
        raise ValueError(f"a filter cannot ask for {unknown[0]!r} here; its operators are {known}.")
    return AllOf([Where(key, _OPERATORS[name], asked) for name, asked in value.items()])

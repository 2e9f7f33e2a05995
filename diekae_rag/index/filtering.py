"""A filter answered by SQLite: which rows it lets through, before any vector is looked at."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from diekae_rag.index.conditions import (
    AllOf,
    AnyOf,
    Filter,
    NoneOf,
    Where,
    WithId,
    holds,
)
from diekae_rag.index.encodable import as_json, encodable_text

__all__ = ["rows_matching"]

Rows = set[int]

_TRUTHS: dict[Any, tuple[str, str]] = {0: ("0", "false"), 1: ("1", "true")}


def rows_matching(connection: sqlite3.Connection, filter: Filter) -> Rows:
    """Finds the rows that a filter lets through.

    A key's values are read through the index on them, each distinct value is looked at once.

    Raises:
        TypeError: A mapping asks for something that is not JSON.
    """
    if isinstance(filter, Mapping):
        return _intersection(
            connection,
            (_with_value(connection, key, wanted) for key, wanted in filter.items()),
        )
    if isinstance(filter, AllOf):
        return _intersection(connection, (rows_matching(connection, f) for f in filter.parts))
    if isinstance(filter, AnyOf):
        return _union(rows_matching(connection, part) for part in filter.parts)
    if isinstance(filter, NoneOf):
        return _all(connection) - rows_matching(connection, AnyOf(filter.parts))
    if isinstance(filter, Where):
        return _where(connection, filter)
    if isinstance(filter, WithId):
        return _under(connection, 'SELECT "row" FROM passages WHERE id = ?', filter.ids)
    query = 'SELECT "row" FROM attachments WHERE document = ?'
    return _under(connection, query, filter.documents)


def _with_value(connection: sqlite3.Connection, key: str, wanted: Any) -> Rows:
    values = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    try:
        texts = [as_json(value, to_compare=True) for value in values]
    except TypeError as error:
        raise TypeError(f"metadata cannot be what the filter asks of {key!r}: {error}.") from error
    return _with_text(connection, encodable_text(key), texts)


def _with_text(connection: sqlite3.Connection, key: str, texts: Iterable[str]) -> Rows:
    query = 'SELECT "row" FROM metadata WHERE "key" = ? AND value = ?'
    return _union(_rows(connection, query, key, text) for text in texts)


def _where(connection: sqlite3.Connection, condition: Where) -> Rows:
    if (opposite := condition.opposite) is not None:
        return _all(connection) - _where(connection, opposite)
    key = encodable_text(condition.key)
    if condition.operator == "is empty":
        return _all(connection) - _with(connection, key, lambda found: not holds(found, condition))
    values = {"==": [condition.value], "in": condition.value}.get(condition.operator)
    if values is not None and all(isinstance(value, str | int | float) for value in values):
        return _with_text(connection, key, [text for value in values for text in _equals(value)])
    return _with(connection, key, lambda found: holds(found, condition))


def _equals(value: str | float) -> tuple[str, ...]:
    """The JSON of all that equals a text or a number, so that nothing else need be looked at."""
    if isinstance(value, float) and not math.isfinite(value):
        return ()
    return _TRUTHS.get(value) or (as_json(value, to_compare=True),)


def _with(connection: sqlite3.Connection, key: str, accepts: Callable[[Any], bool]) -> Rows:
    query = """SELECT value, "row" FROM metadata WHERE "key" = ? AND value <> 'null'"""
    pairs = connection.execute(query, (key,)).fetchall()
    texts = list(dict.fromkeys(text for text, _ in pairs))
    values = json.loads(f"[{','.join(texts)}]")
    accepted = {text for text, value in zip(texts, values, strict=True) if accepts(value)}
    return {row for text, row in pairs if text in accepted}


def _under(connection: sqlite3.Connection, query: str, names: Iterable[str]) -> Rows:
    storable = (name for name in names if encodable_text(name) == name)
    return _union(_rows(connection, query, name) for name in storable)


def _all(connection: sqlite3.Connection) -> Rows:
    return _rows(connection, 'SELECT "row" FROM passages')


def _rows(connection: sqlite3.Connection, query: str, *values: str) -> Rows:
    return {row for (row,) in connection.execute(query, values)}


def _union(several: Iterable[Rows]) -> Rows:
    return set().union(*several)


def _intersection(connection: sqlite3.Connection, several: Iterable[Rows]) -> Rows:
    sets = list(several)
    return set.intersection(*sets) if sets else _all(connection)

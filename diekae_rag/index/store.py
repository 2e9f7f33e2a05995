"""Passages and their metadata, in SQLite."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.index.encodable import as_json, encodable_text
from diekae_rag.passages import Passage

__all__ = ["PassageStore", "Record", "as_record"]

# A passage's metadata is written twice: whole, to be given back, and one line per key, to be
# filtered by. The primary key of the second table is the index that makes a filter fast.
_SCHEMA = (
    """CREATE TABLE passages (
    "row" INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, metadata TEXT NOT NULL
)""",
    """CREATE TABLE metadata (
    "key" TEXT, value TEXT, "row" INTEGER, PRIMARY KEY ("key", value, "row")
) WITHOUT ROWID""",
    """CREATE INDEX metadata_row ON metadata ("row")""",
)

Record = tuple[str, str, str]
"""A passage ready to be stored: id, text, metadata as JSON."""


def as_record(passage: Passage) -> Record:
    """Checks that a passage can be stored; lone surrogates become U+FFFD, the score is dropped.

    Raises:
        TypeError: The metadata is not JSON, or the id is not a string.
        ValueError: The id holds lone surrogates, so that two ids might become one.
    """
    if not isinstance(passage.id, str):
        raise TypeError(f"a passage's id must be a str, got {type(passage.id).__name__}.")
    if encodable_text(passage.id) != passage.id:
        raise ValueError(f"the id {passage.id!r} holds lone surrogates; give the passage another.")
    if not isinstance(passage.metadata, Mapping):
        kind = type(passage.metadata).__name__
        raise TypeError(f"the metadata of passage {passage.id!r} is {kind}, not a mapping.")
    try:
        metadata = as_json(passage.metadata)
    except TypeError as error:
        raise TypeError(
            f"the metadata of passage {passage.id!r} cannot be stored: {error}. "
            "Keep JSON values only (str, int, float, bool, None, lists, mappings)."
        ) from error
    return passage.id, encodable_text(passage.text), metadata


class PassageStore:
    """Passages by id and by row number, and the rows whose metadata matches a filter.

    It lives in memory; ``save`` and ``load`` copy it to and from a file. The caller keeps threads
    from writing at once.

    Example:
        >>> store = PassageStore()
        >>> turin = Passage("Turin.", id="t", metadata={"kind": "town"})
        >>> store.replace([], [3], [as_record(turin)])
        >>> store.rows_matching({"kind": ["town", "river"]}), store.passage(3).text
        ([3], 'Turin.')
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        for statement in _SCHEMA:
            self._connection.execute(statement)

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM passages"))

    def next_row(self) -> int:
        """Returns a row number above every one in use."""
        return int(self._one('SELECT coalesce(max("row") + 1, 0) FROM passages'))

    def replace(
        self, removed: Iterable[int], rows: Sequence[int], records: Iterable[Record]
    ) -> None:
        """Removes rows, then adds records under new ones; all of it or, if that fails, nothing."""
        targets = [(row,) for row in removed]
        with self._connection as connection:
            connection.executemany('DELETE FROM passages WHERE "row" = ?', targets)
            connection.executemany('DELETE FROM metadata WHERE "row" = ?', targets)
            for row, (id_, text, metadata) in zip(rows, records, strict=True):
                connection.execute(
                    "INSERT INTO passages VALUES (?, ?, ?, ?)", (row, id_, text, metadata)
                )
                connection.executemany(
                    "INSERT INTO metadata VALUES (?, ?, ?)",
                    (
                        (key, as_json(value, to_compare=True), row)
                        for key, value in json.loads(metadata).items()
                    ),
                )

    def rows_of(self, ids: Iterable[str]) -> list[int]:
        """Returns the row of each id; ids not in the store are left out."""
        query = 'SELECT "row" FROM passages WHERE id = ?'
        storable = (id_ for id_ in ids if encodable_text(id_) == id_)
        found = (self._connection.execute(query, (id_,)).fetchone() for id_ in storable)
        return [row for (row,) in filter(None, found)]

    def rows_matching(self, conditions: Mapping[str, Any]) -> list[int]:
        """Returns the rows whose metadata has, for each key, the value or one of those listed."""
        query = 'SELECT "row" FROM metadata WHERE "key" = ? AND value = ?'
        matching: set[int] | None = None
        for key, wanted in conditions.items():
            values = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
            rows = {
                row
                for value in values
                for (row,) in self._connection.execute(
                    query, (encodable_text(key), as_json(value, to_compare=True))
                )
            }
            matching = rows if matching is None else matching & rows
        return sorted(matching or ())

    def passage(self, row: int, score: float | None = None) -> Passage:
        """Returns the passage in a row."""
        query = 'SELECT text, id, metadata FROM passages WHERE "row" = ?'
        text, id_, metadata = self._connection.execute(query, (row,)).fetchone()
        return Passage(text, id_, score, json.loads(metadata))

    def ids(self, rows: Collection[int]) -> dict[int, str]:
        """Returns the id in each row."""
        query = 'SELECT id FROM passages WHERE "row" = ?'
        return {row: self._connection.execute(query, (row,)).fetchone()[0] for row in rows}

    def all_rows(self) -> list[int]:
        """Returns every row, ascending: the order in which passages were added."""
        query = 'SELECT "row" FROM passages ORDER BY "row"'
        return [row for (row,) in self._connection.execute(query)]

    def save(self, path: Path) -> None:
        """Writes the store to a new SQLite file."""
        target = sqlite3.connect(path)
        try:
            self._connection.backup(target)
        finally:
            target.close()

    @classmethod
    def load(cls, path: Path) -> PassageStore:
        """Reads a store that ``save`` wrote; the file is opened read-only.

        Raises:
            sqlite3.DatabaseError: Not SQLite, damaged, or with a schema that is not ours: a view
                or a trigger is never run.
        """
        store = cls()
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            source.execute("PRAGMA trusted_schema = OFF")
            schema = source.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL").fetchall()
            if len(schema) != len(_SCHEMA) or {sql for (sql,) in schema} != set(_SCHEMA):
                raise sqlite3.DatabaseError("its tables are not those of a passage store")
            (verdict,) = source.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            source.backup(store._connection)
        finally:
            source.close()
        store._check_content()
        return store

    def _check_content(self) -> None:
        """Reads every passage once: what cannot be read is found here and not in a search."""
        num_keys = 0
        query = "SELECT id, text, metadata FROM passages"
        for id_, text, metadata in self._connection.execute(query):
            try:
                content = json.loads(metadata)
            except (TypeError, ValueError, RecursionError) as error:
                raise sqlite3.DatabaseError(f"metadata that is not JSON: {error}") from error
            if not (isinstance(id_, str) and isinstance(text, str) and isinstance(content, dict)):
                raise sqlite3.DatabaseError("a passage that is not text")
            num_keys += len(content)
        if num_keys != self._one("SELECT count(*) FROM metadata"):
            raise sqlite3.DatabaseError("its metadata and what filters read disagree")

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

"""Passages and their metadata, in SQLite."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.index.conditions import Filter
from diekae_rag.index.encodable import as_json, encodable_text
from diekae_rag.index.entries import Record
from diekae_rag.index.filtering import rows_matching
from diekae_rag.passages import Passage

__all__ = ["PassageStore"]

# A passage's metadata is written twice: whole, to be given back, and one line per key, to be
# filtered by. The primary key of the second table is the index that makes a filter fast. The
# tables after it hold what only a host reads; folders of format 1 lack them.
_SCHEMA = (
    """CREATE TABLE passages (
    "row" INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, metadata TEXT NOT NULL
)""",
    """CREATE TABLE metadata (
    "key" TEXT, value TEXT, "row" INTEGER, PRIMARY KEY ("key", value, "row")
) WITHOUT ROWID""",
    """CREATE INDEX metadata_row ON metadata ("row")""",
)
_HOSTS_SCHEMA = (
    """CREATE TABLE attachments ("row" INTEGER PRIMARY KEY, document TEXT, content TEXT)""",
    """CREATE INDEX attachments_document ON attachments (document)""",
)
_FULL_SCHEMA = _SCHEMA + _HOSTS_SCHEMA


class PassageStore:
    """Passages by id and by row number, and the rows whose metadata matches a filter.

    It lives in memory; ``save`` and ``load`` copy it to and from a file. The caller keeps threads
    from writing at once.

    Example:
        >>> from diekae_rag.index.entries import Entry, as_record
        >>> store = PassageStore()
        >>> turin = Passage("Turin.", id="t", metadata={"kind": "town"})
        >>> store.replace([], [3], [as_record(Entry(turin))])
        >>> store.rows_matching({"kind": ["town", "river"]}), store.passage(3).text
        ([3], 'Turin.')
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        for statement in _FULL_SCHEMA:
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
            for table in ("passages", "metadata", "attachments"):
                connection.executemany(f'DELETE FROM {table} WHERE "row" = ?', targets)
            for row, record in zip(rows, records, strict=True):
                connection.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (row, *record[:3]))
                if record.document is not None or record.attachment is not None:
                    connection.execute(
                        "INSERT INTO attachments VALUES (?, ?, ?)",
                        (row, record.document, record.attachment),
                    )
                connection.executemany(
                    "INSERT INTO metadata VALUES (?, ?, ?)",
                    (
                        (key, as_json(value, to_compare=True), row)
                        for key, value in json.loads(record.metadata).items()
                    ),
                )

    def rows_of(self, ids: Iterable[str]) -> list[int]:
        """Returns the row of each id; ids not in the store are left out."""
        query = 'SELECT "row" FROM passages WHERE id = ?'
        storable = (id_ for id_ in ids if encodable_text(id_) == id_)
        found = (self._connection.execute(query, (id_,)).fetchone() for id_ in storable)
        return [row for (row,) in filter(None, found)]

    def rows_matching(self, filter: Filter) -> list[int]:
        """Returns the rows that a filter lets through, ascending."""
        return sorted(rows_matching(self._connection, filter))

    def passage(self, row: int, score: float | None = None) -> Passage:
        """Returns the passage in a row."""
        query = 'SELECT text, id, metadata FROM passages WHERE "row" = ?'
        text, id_, metadata = self._connection.execute(query, (row,)).fetchone()
        return Passage(text, id_, score, json.loads(metadata))

    def attachments(self, ids: Iterable[str]) -> dict[str, str]:
        """Returns what a host keeps beside passages, by their ids."""
        query = """SELECT content FROM attachments JOIN passages USING ("row")
                   WHERE id = ? AND content NOT NULL"""
        storable = (id_ for id_ in ids if encodable_text(id_) == id_)
        found = {id_: self._connection.execute(query, (id_,)).fetchone() for id_ in storable}
        return {id_: row[0] for id_, row in found.items() if row is not None}

    def ids(self, rows: Collection[int]) -> dict[int, str]:
        """Returns the id in each row."""
        query = 'SELECT id FROM passages WHERE "row" = ?'
        return {row: self._connection.execute(query, (row,)).fetchone()[0] for row in rows}

    def all_rows(self) -> list[int]:
        """Returns every row, ascending: the order in which passages were added."""
        query = 'SELECT "row" FROM passages ORDER BY "row"'
        return [row for (row,) in self._connection.execute(query)]

    def save(self, path: Path) -> None:
        """Writes the store to a new SQLite file; nothing that was deleted is in it."""
        self._connection.execute("VACUUM INTO ?", (str(path),))

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
            ours = {sql for (sql,) in schema}
            if len(ours) != len(schema) or ours not in (set(_SCHEMA), set(_FULL_SCHEMA)):
                raise sqlite3.DatabaseError("its tables are not those of a passage store")
            (verdict,) = source.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            source.backup(store._connection)
        finally:
            source.close()
        for statement in _FULL_SCHEMA:
            if statement not in ours:
                store._connection.execute(statement)
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
        self._check_attachments()

    def _check_attachments(self) -> None:
        rows = set(self.all_rows())
        for row, *texts in self._connection.execute("SELECT * FROM attachments"):
            if row not in rows or not all(isinstance(text, str | None) for text in texts):
                raise sqlite3.DatabaseError("an attachment that is not text, or to no passage")

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

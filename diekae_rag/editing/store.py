"""Edits and every change that was made to them, in SQLite.

An edit is never overwritten: it is there from one version on and until another, so that the edits
of every version can be had again. A change is one transaction. Whoever is killed in it has changed
nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diekae_rag.editing.edit import Edit
from diekae_rag.editing.errors import EditsError
from diekae_rag.files import taking_turns

__all__ = ["EDITS_FILE", "Change", "EditStore"]

EDITS_FILE = "edits.sqlite"
_APPLICATION, _FORMAT = 0x64696564, 1  # "died"
_SECONDS_TO_WAIT = 600.0
_SCHEMA = (
    """CREATE TABLE edits (
    id INTEGER PRIMARY KEY, subject TEXT NOT NULL, prompt TEXT NOT NULL,
    old TEXT NOT NULL, new TEXT NOT NULL, replaces INTEGER
)""",
    """CREATE TABLE presence (
    edit INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER, PRIMARY KEY (edit, since)
) WITHOUT ROWID""",
    "CREATE TABLE changes (version INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL)",
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)
_PRESENT = "since <= :v AND (until IS NULL OR until > :v)"


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to the edits.

    Args:
        version: That of the edits after it.
        at: When, in UTC.
        what: In words.
    """

    version: int
    at: str
    what: str


class EditStore:
    """All edits that ever were, and which of them are there in each version.

    Several processes may have one file open: whoever writes waits for the others. The caller keeps
    threads from writing at once.

    Args:
        path: The file, made where there is none; ``None`` is one in memory.

    Raises:
        EditsError: It is no such file, it is damaged, or a newer version wrote it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._local = threading.RLock()
        self._open()

    def _open(self) -> None:
        is_new = self.path is None or not self.path.exists() or not self.path.stat().st_size
        name = ":memory:" if self.path is None else str(self.path)
        self._connection = sqlite3.connect(
            name, _SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
        )
        self._closing = weakref.finalize(self, self._connection.close)
        self._process = os.getpid()
        try:
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA synchronous = FULL")
            if is_new:
                self._make()
            self._file = None if self.path is None else self.path.stat()
            self._check()
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path, str(error)) from error

    def _make(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        if not self._connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {_FORMAT}")
        self._connection.execute("COMMIT")

    def _check(self) -> None:
        """Refuses what ``_make`` did not make; a view or a trigger is never run."""
        if self._one("PRAGMA application_id") != _APPLICATION:
            raise EditsError(f"{self.path} holds no edits; pass a folder that edits were saved in.")
        if (found := self._one("PRAGMA user_version")) != _FORMAT:
            raise EditsError(
                f"{self.path} has format {found}, this diekae_rag reads {_FORMAT}; upgrade it."
            )
        tables = self._connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")
        if {sql for (sql,) in tables} != set(_SCHEMA):
            raise sqlite3.DatabaseError("its tables are not those of edits")
        if (verdict := self._one("PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(verdict)
        known = {id for (id,) in self._rows("SELECT id FROM edits")}
        last = self.version
        for edit, since, until in self._rows("SELECT * FROM presence"):
            if edit not in known or not 0 < since <= last or not (until or last) <= last:
                raise sqlite3.DatabaseError(f"edit {edit} is there when it cannot be")

    @property
    def version(self) -> int:
        """How many changes there were."""
        return int(self._one("SELECT coalesce(max(version), 0) FROM changes"))

    @property
    def mark(self) -> tuple[int, ...]:
        """Another one once somebody else has written; quick to have."""
        self._reopen_if_replaced()
        file = (0, 0) if self._file is None else (self._file.st_dev, self._file.st_ino)
        return (*file, self._one("PRAGMA data_version"))

    @property
    def next_number(self) -> int:
        """That of the next edit; none is given twice."""
        return int(self._one("SELECT coalesce(max(id), 0) + 1 FROM edits"))

    def present(self, version: int | None = None) -> list[int]:
        """The edits of a version, by number; of the last one where none is named."""
        at = self.version if version is None else version
        query = f"SELECT edit FROM presence WHERE {_PRESENT} ORDER BY edit"
        return [edit for (edit,) in self._rows(query, {"v": at})]

    def edits(self, numbers: Collection[int]) -> dict[int, Edit]:
        """Edits by their numbers.

        Raises:
            EditsError: What is there is none.
        """
        found: dict[int, Edit] = {}
        is_many = len(numbers) > 100
        query = f"SELECT * FROM edits {'' if is_many else 'WHERE id = ?'}"
        for arguments in [()] if is_many else [(number,) for number in numbers]:
            for number, subject, prompt, old, new, replaces in self._rows(query, arguments):
                replaced = None if replaces is None else str(replaces)
                try:
                    found[number] = Edit(subject, prompt, old, new, str(number), replaced)
                except (ValueError, TypeError) as error:
                    raise _damaged(self.path, f"edit {number}: {error}") from error
        wanted = set(numbers)
        return {number: edit for number, edit in found.items() if number in wanted}

    def history(self) -> list[Change]:
        """Every change, the first one first."""
        query = "SELECT version, at, what FROM changes ORDER BY version"
        return [Change(*row) for row in self._rows(query)]

    def settings(self) -> dict[str, str]:
        """What is said of all edits."""
        return dict(self._rows("SELECT name, value FROM settings"))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction that nobody else writes in; all of it is kept, or nothing."""
        with self._local, self._turn():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
            except sqlite3.OperationalError as error:
                raise EditsError(
                    f"{self.path} cannot be written ({error}); the edits are as they were before."
                ) from error
            except sqlite3.DatabaseError as error:
                raise _damaged(self.path, str(error)) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Waits for other processes, and makes sure that the file is the one that lies there."""
        if self.path is None:
            yield
            return
        for wait in (0.0, *[0.05] * 40):  # its folder may be about to be replaced
            time.sleep(wait)
            if not self.path.exists():
                continue
            with taking_turns(self.path.parent):
                if self.path.exists():
                    self._reopen_if_replaced()
                    yield
                    return
        raise EditsError(f"{self.path} is gone; open the edits anew, or save them elsewhere.")

    def add(self, edits: Sequence[Edit], replaced: Sequence[int | None]) -> list[int]:
        """Adds edits in one change, each with the number of the one it replaces.

        Returns:
            Their numbers.
        """
        version = self._change(f"added {_counted(len(edits))}")
        first = self.next_number
        numbers = list(range(first, first + len(edits)))
        rows = [
            (number, edit.subject, edit.prompt, edit.old, edit.new, old)
            for number, edit, old in zip(numbers, edits, replaced, strict=True)
        ]
        self._connection.executemany("INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._begin(numbers, version)
        return numbers

    def remove(self, numbers: Iterable[int], what: str) -> None:
        """Ends the presence of edits, in one change."""
        self._end(numbers, self._change(what))

    def rollback(self, to: int) -> None:
        """Makes the edits those of an earlier version, in one change."""
        now, then = set(self.present()), set(self.present(to))
        version = self._change(f"rolled back to version {to}")
        self._end(now - then, version)
        self._begin(then - now, version)

    def set(self, settings: Mapping[str, str]) -> None:
        """Says something of all edits."""
        query = "INSERT OR REPLACE INTO settings VALUES (?, ?)"
        self._connection.executemany(query, settings.items())

    def copy_to(self, path: Path) -> None:
        """Writes everything to a new file."""
        self._connection.execute("VACUUM INTO ?", (str(path),))

    def copy(self) -> EditStore:
        """The same in memory."""
        other = EditStore()
        with nullcontext(self._connection) as source:
            source.backup(other._connection)
        return other

    def close(self) -> None:
        """Lets go of the file."""
        self._closing()

    def _change(self, what: str) -> int:
        version = self.version + 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._connection.execute("INSERT INTO changes VALUES (?, ?, ?)", (version, at, what))
        return version

    def _begin(self, numbers: Iterable[int], version: int) -> None:
        rows = [(number, version) for number in numbers]
        self._connection.executemany("INSERT INTO presence VALUES (?, ?, NULL)", rows)

    def _end(self, numbers: Iterable[int], version: int) -> None:
        query = "UPDATE presence SET until = ? WHERE edit = ? AND until IS NULL"
        self._connection.executemany(query, [(version, number) for number in numbers])

    def _reopen_if_replaced(self) -> None:
        """Opens the file that lies there now, or in a process that was forked."""
        if self.path is None:
            return
        try:
            is_same = self._file is not None and os.path.samestat(self._file, self.path.stat())
        except OSError:
            return  # the folder is being replaced, or is gone: what was read stays
        if not is_same or self._process != os.getpid():
            if self._process == os.getpid():
                self._closing()
            else:
                self._closing.detach()  # it is the parent's
            self._open()

    def _one(self, query: str) -> Any:
        return self._rows(query)[0][0]

    def _rows(
        self, query: str, arguments: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Any]:
        """What a query finds.

        Raises:
            EditsError: The file cannot be read.
        """
        try:
            return self._connection.execute(query, arguments).fetchall()
        except sqlite3.OperationalError as error:
            raise EditsError(f"{self.path} cannot be read ({error}).") from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path, str(error)) from error


def _counted(count: int) -> str:
    return "1 edit" if count == 1 else f"{count} edits"


def _damaged(path: Path | None, what: str) -> EditsError:
    return EditsError(
        f"the edits in {path} are damaged: {what}; put back a copy of the folder, or begin a new "
        "one."
    )

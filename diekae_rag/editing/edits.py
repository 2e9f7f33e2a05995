"""Facts that a model is to answer from now on, and that can be taken back."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diekae_rag.editing.current import CurrentEdits
from diekae_rag.editing.edit import Edit
from diekae_rag.editing.embedding import EditEmbedder
from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.fitting import EditCalibration, fit
from diekae_rag.editing.folder import open_store, save_edits
from diekae_rag.editing.lines import read_edits, read_examples, write_edits
from diekae_rag.editing.matching import Match
from diekae_rag.editing.store import Change, EditStore
from diekae_rag.editing.written import CurrentWritten, WrittenEdits
from diekae_rag.index.embedder import MINILM, Embedder

__all__ = ["Edits"]


class Edits:
    """Facts that hold for the prompts that mean them, and for no others.

    A prompt means an edit if it names its subject and says the same of it: in the same words, or in
    others that are near enough (``threshold``). The encoders then read the edit as a passage. Any
    other prompt is answered bit-identically to a model without edits. What is found depends on the
    edits that are there, not on the order in which they came, but where they contradict each other:
    of the same subject and prompt the newest counts, and the one before it once that is removed.

    Every change is one transaction and makes a new version, to which ``rollback`` leads back. In a
    folder (``open``), a change is on disk when the call returns, whoever else has the folder open
    sees it with the next call, and those who write wait for each other. Threads may share edits.

    Args:
        embedder: What compares prompts, as for ``PassageIndex``; loaded when it is needed.

    Example:
        >>> edits = Edits()
        >>> edit = edits.add("Drola Brenk", "{} was born in", "Oltun", "Kolwick")
        >>> [match.edit.new for match in edits.find("Drola Brenk was born in")]
        ['Kolwick']
        >>> edits.find("Ilma Bresk was born in"), edits.version
        ([], 1)
    """

    def __init__(self, embedder: Embedder | str | Path = MINILM) -> None:
        self._lock = threading.RLock()
        self._now = CurrentEdits(EditStore(), EditEmbedder(embedder))
        self._written = CurrentWritten(None)
        self._fingerprint: tuple[object, str] = (None, "")  # of what, and what it is

    @contextmanager
    def _current(self) -> Iterator[CurrentEdits]:
        with self._lock:
            self._now.refresh()
            yield self._now

    @contextmanager
    def _changing(self) -> Iterator[CurrentEdits]:
        with self._lock:
            with self._now.store.writing():
                self._now.refresh()  # what others wrote until now
                yield self._now
            self._now.refresh()

    @property
    def version(self) -> int:
        """How many changes there were; each made the edits another version."""
        with self._current() as now:
            return now.version

    @property
    def folder(self) -> Path | None:
        """Where every change is written; ``None`` where edits are in memory."""
        return self._now.folder

    @property
    def embedder(self) -> Embedder:
        """What compares prompts."""
        return self._now.embedder.embedder

    @property
    def threshold(self) -> float | None:
        """How near a prompt must be to an edit's own; ``None``: only the same words count."""
        with self._current() as now:
            return now.embedder.threshold

    @property
    def fingerprint(self) -> str:
        """Tells these edits from others that answer otherwise; ``""`` without any."""
        with self._current() as now:
            written = self._written.get() if self._written.ids(now) else None
            of = now.state, written.fingerprint if written else ""
            if of != self._fingerprint[0]:
                self._fingerprint = of, _digest(now, of[1]) if now.edits else ""
            return self._fingerprint[1]

    def __len__(self) -> int:
        with self._current() as now:
            return len(now.edits)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.list())

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"in {str(self.folder)!r}"
        return f"<Edits: {len(self)}, version {self.version}, {where}>"

    def list(self, version: int | None = None) -> builtins.list[Edit]:
        """The edits, the first added first; those of an earlier version, if one is named.

        Those that another one ``replaces`` are among them: they count again when it goes.

        Raises:
            ValueError: There is no such version.
        """
        with self._current() as now:
            if version is None:
                return [now.edits[number] for number in sorted(now.edits)]
            numbers = now.store.present(_check_version(version, now.version))
            edits = now.store.edits(numbers)
            return [edits[number] for number in numbers]

    def in_force(self) -> builtins.list[Edit]:
        """The edits that count: those that no newer one contradicts, the first added first."""
        with self._current() as now:
            return sorted(now.in_force(), key=lambda edit: int(edit.id))

    def history(self) -> builtins.list[Change]:
        """Every change with its version, the first one first."""
        with self._current() as now:
            return now.store.history()

    def find(self, prompt: str) -> builtins.list[Match]:
        """The edits that a prompt means, each with its score, the nearest first.

        Of each sentence that names a subject, that subject's nearest edit.
        """
        with self._current() as now:
            return now.find(prompt)

    def add(self, subject: str, prompt: str, old: str, new: str) -> Edit:
        """Adds an edit, which holds from the next call on.

        Args:
            subject: Whom or what it is about.
            prompt: What the fact completes; it names the subject, or has ``{}`` in its place.
            old: How it was completed before.
            new: How it is completed from now on.

        Returns:
            The edit with its ``id`` and, where it contradicts one that counted until now, the id of
            that one in ``replaces``.

        Raises:
            ValueError: As for ``Edit``.
            EditsError: The folder cannot be written.
        """
        return self._add([Edit(subject, prompt, old, new)])[0]

    def add_many(
        self,
        edits: Iterable[Edit | Mapping[str, Any]] | str | os.PathLike[str],
        *,
        show_progress: bool = False,
    ) -> builtins.list[Edit]:
        """Adds edits in one change: all of them or, if anything is wrong, none.

        Args:
            edits: ``Edit`` objects or mappings, as ``as_edit`` reads them (by CounterFact's names
                too); or the path of a JSON Lines file of such.
            show_progress: Draw a progress bar on stderr.

        Returns:
            The edits, each with its ``id``.

        Raises:
            ValueError: One of them is no edit; the message says which.
            TypeError: Likewise.
            EditsError: The folder cannot be written.
        """
        read = read_edits(edits)
        return self._add(read, show_progress=show_progress) if read else []

    def _add(
        self, edits: builtins.list[Edit], *, show_progress: bool = False
    ) -> builtins.list[Edit]:
        with self._lock:
            # Until the edits are added, nothing depends on their vectors.
            self._now.make_vectors(edits, show_progress=show_progress)
            with self._changing() as now:
                replaced = now.replaced_by(edits)
                now.store.set(now.embedder.settings())
                numbers = now.store.add(edits, replaced)
            return [now.edits[number] for number in numbers]

    def remove(self, id: str) -> Edit:
        """Removes an edit and returns it; one that it replaced counts again.

        Raises:
            ValueError: There is none with this id.
        """
        with self._changing() as now:
            number = int(id) if str(id).isdecimal() else 0
            if number not in now.edits:
                raise ValueError(f"there is no edit {id!r}; list() tells which there are.")
            removed = now.edits[number]
            now.store.remove([number], f"removed edit {number}")
        return removed

    def clear(self) -> None:
        """Removes all edits; ``rollback`` brings them back."""
        with self._changing() as now:
            now.store.remove(list(now.edits), "removed all")

    def rollback(self, to: int) -> None:
        """Makes the edits those of an earlier version; that is a change too, and can be undone.

        Args:
            to: The version; 0 is the beginning, without edits.

        Raises:
            ValueError: There is no such version.
        """
        with self._changing() as now:
            now.store.rollback(_check_version(to, now.version))

    def written_now(self) -> tuple[WrittenEdits | None, frozenset[str]]:
        """What ``DiekaeModel.write_edits`` left, and the ids of the edits that it answers.

        They are all that were written or, as soon as one of them is not in force any more (removed,
        rolled back, contradicted), none: then they are read as passages. Once they all are in force
        again, so is it.
        """
        with self._current() as now:
            return self._written.get(), self._written.ids(now)

    def keep_written(self, written: WrittenEdits, folder: Path | None) -> None:
        """Has edits answered from weights; on disk, where the edits are in a folder.

        Args:
            written: What was trained.
            folder: Where the edits were when that began.

        Raises:
            EditsError: They are others by now.
        """
        with self._lock:
            if folder != self.folder:
                raise EditsError(
                    f"the edits of {self.folder or 'memory'} were opened while those of "
                    f"{folder or 'memory'} were written into weights; open these again and write."
                )
            self._written.set(written)

    def unwrite(self) -> None:
        """Forgets the weights that edits were written into: all are read as passages again."""
        with self._lock:
            self._written.set(None)

    def calibrate(
        self,
        examples: Iterable[Mapping[str, Any]] | str | os.PathLike[str],
        *,
        false_share: float = 0.03,
    ) -> EditCalibration:
        """Learns which prompts mean an edit, for relations like those of the examples.

        A projection of the embedder's vectors is learned, and the threshold taken from every fifth
        example of each relation, which nothing was learned from. Both stay with the edits, whatever
        is rolled back. Relations that no example is about are told apart worse than without:
        calibrate on what is going to be edited.

        Args:
            examples: Mappings with ``subject``, ``prompt``, ``relation`` (a name that all prompts
                of the relation share) and ``paraphrase_prompts``, as CounterFact's records are; or
                the path of a JSON Lines file of such.
            false_share: How many prompts about something else of the subject may be taken for it.

        Returns:
            What was measured.

        Raises:
            ValueError: There are too few, or one lacks something.
            TypeError: One has something else than text in a text's place.
            OSError: The file cannot be read.
        """
        if isinstance(examples, str | os.PathLike):
            examples = read_examples(examples)
        if not 0 < false_share < 1:
            raise ValueError(f"false_share must be between 0 and 1, got {false_share}.")
        with self._current() as now:
            projection, found = fit(examples, now.embedder, false_share)
            before = now.embedder.compared_by
            now.embedder.compare_by(projection, found.threshold)
            try:
                now.restart()
            except BaseException:
                now.embedder.compared_by = before
                raise
            return found

    def open(
        self,
        folder: str | os.PathLike[str],
        *,
        embedder: Embedder | str | Path | None = None,
        reembed: bool = False,
        create: bool = True,
    ) -> None:
        """Goes on with the edits of a folder; the ones that are here stay behind.

        Nothing in a folder is executed, and none says which embedder is loaded.

        Args:
            folder: Where edits were saved, or are to be.
            embedder: What compares prompts, if not the one that is used here.
            reembed: Have all vectors made anew by another embedder, whose threshold is then the
                one that was measured for it, if any: else ``calibrate``.
            create: Make the folder where there is none.

        Raises:
            EditsError: It holds something else, is damaged, or is another embedder's.
        """
        with self._lock:
            given = self._now.embedder.given if embedder is None else embedder
            store = open_store(Path(folder), must_exist=not create)
            self._now = CurrentEdits(store, EditEmbedder(given), reembed=reembed)
            self._now.refresh()
            self._written = CurrentWritten(self._now.folder)

    def load(
        self,
        folder: str | os.PathLike[str],
        *,
        embedder: Embedder | str | Path | None = None,
    ) -> None:
        """As ``open``, but the edits are read into memory: later changes are not written there.

        Args:
            folder: Where edits were saved.
            embedder: As for ``open``.

        Raises:
            EditsError: As for ``open``; and where there is no such folder.
        """
        loaded = Edits(self._now.embedder.given)
        loaded.open(folder, embedder=embedder, create=False)
        with self._lock, loaded._current() as theirs:
            written, now = CurrentWritten(None), theirs.in_memory()
            written.set(loaded._written.get())
            now.refresh()
            self._written, self._now = written, now

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the edits with all their versions to a folder, in place of those saved there.

        The folder appears whole or not at all: SQLite and safetensors, no pickle. What was removed
        is in it too, as ``rollback`` needs it; ``export`` writes what is there now.

        Raises:
            EditsError: The folder holds something else than edits, or lies in one that holds some.
        """
        with self._current() as now:
            save_edits(now, self._written.get(), Path(folder))

    def check_none_is_lost(self) -> None:
        """For whoever pickles a model by its name, so that it comes back without edits.

        Raises:
            TypeError: There are edits.
        """
        if count := len(self):
            raise TypeError(
                f"{count} edits would be lost: save them (edits.save(folder)) and clear() them, "
                "pickle, and load them there (edits.load(folder))."
            )

    def export(self, path: str | os.PathLike[str]) -> int:
        """Writes the edits to a JSON Lines file, which ``add_many`` reads.

        Returns:
            How many there are.

        Raises:
            OSError: The file cannot be written.
        """
        edits = self.list()
        write_edits(edits, Path(path))
        return len(edits)


def _digest(now: CurrentEdits, written: str) -> str:
    said = sorted([edit.subject, edit.prompt, edit.new] for edit in now.in_force())
    settings = now.embedder.settings()["projection"], now.embedder.threshold
    return hashlib.sha256(json.dumps([settings, said, written]).encode()).hexdigest()[:16]


def _check_version(version: int, last: int) -> int:
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"a version is a number, got {type(version).__name__}.")
    if not 0 <= version <= last:
        raise ValueError(f"there is no version {version}; there are 0 to {last}.")
    return version

"""The edits as they are now: what a store holds, ready to be found, and kept in step with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from diekae_rag.editing.edit import Edit
from diekae_rag.editing.embedding import EditEmbedder
from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.matching import Match, Matcher
from diekae_rag.editing.store import EditStore
from diekae_rag.editing.vectors import TextVectors
from diekae_rag.progress import progress_bars

__all__ = ["CurrentEdits"]

_PER_STEP = 512


class CurrentEdits:
    """The edits of a store's last version. The caller keeps threads from meeting here.

    Args:
        store: Where they are; others may write there too.
        embedder: What compares prompts.
        reembed: Make all vectors anew where they are another embedder's.

    Raises:
        EditsError: The vectors are another embedder's, or a file is damaged.
    """

    def __init__(self, store: EditStore, embedder: EditEmbedder, *, reembed: bool = False) -> None:
        self.store, self.embedder = store, embedder
        self.edits: dict[int, Edit] = {}
        self.version = 0
        self._mark: tuple[int, ...] = ()
        self._own = object()
        settings = store.settings()
        if settings and not reembed:
            embedder.take(settings, store.path)
        else:
            embedder.begin()
        self._start()
        if settings and reembed:
            self.restart()
        self.refresh()

    @property
    def folder(self) -> Path | None:
        """Where the store's file is."""
        return None if self.store.path is None else self.store.path.parent

    @property
    def state(self) -> tuple[object, ...]:
        """Another one as soon as any edit, or how edits are found, is another."""
        return self._own, self._mark, self.version, self.embedder.space, self.embedder.threshold

    def in_memory(self) -> CurrentEdits:
        """The same, of which nothing is written anywhere."""
        other = CurrentEdits(self.store.copy(), EditEmbedder(self.embedder.given))
        other.vectors.take_all(self.vectors)
        return other

    def restart(self) -> None:
        """Makes all vectors anew, after what they are compared by has changed."""
        texts = TextVectors(self.folder, self.embedder.space)
        edits = self.store.edits(self.store.present())
        missing = texts.missing(edit.relation for edit in edits.values())
        texts.add(missing, self.embedder.embed(missing))
        with self.store.writing():
            self.store.set(self.embedder.settings())
        texts.remove_others()
        self._mark = ()  # what is here was found by other vectors
        self.refresh()

    def _start(self) -> None:
        self.vectors = TextVectors(self.folder, self.embedder.space)
        self._matcher = Matcher(self.embedder.embed, self.vectors)
        self.edits = {}

    def refresh(self) -> None:
        """Takes in what was written since, by whomever."""
        mark, version = self.store.mark, self.store.version
        if (mark, version) == (self._mark, self.version):
            return
        is_other_file = self._mark[:2] != mark[:2]
        settings = self.store.settings()
        if settings.get("space", self.embedder.space) != self.embedder.space or is_other_file:
            if settings:
                self.embedder.take(settings, self.store.path)
            self._start()
        elif settings:
            self.embedder.take_threshold(settings)
        self.vectors.refresh()
        present = set(self.store.present())
        for number in set(self.edits) - present:
            self._matcher.remove(number, self.edits.pop(number))
        for number, edit in self.store.edits(present - set(self.edits)).items():
            self._matcher.add(number, edit)
            self.edits[number] = edit
        self._mark, self.version = mark, version

    def find(self, prompt: str) -> list[Match]:
        """The edits that a prompt means, the nearest first."""
        return self._matcher.find(prompt, self.embedder.threshold)

    def replaced_by(self, edits: Sequence[Edit]) -> list[int | None]:
        """For each of some edits that are to be added, the number of the one it replaces."""
        newest: dict[object, int] = {}
        replaced: list[int | None] = []
        for number, edit in enumerate(edits, start=self.store.next_number):
            replaced.append(newest.get(edit.key, self._matcher.in_force(edit)))
            newest[edit.key] = number
        return replaced

    def counting(self, edit: Edit) -> Edit | None:
        """The edit that counts, of those about the same as this one."""
        number = self._matcher.in_force(edit)
        return None if number is None else self.edits[number]

    def in_force(self) -> list[Edit]:
        """The edits that no newer one contradicts."""
        return [
            edit for number, edit in self.edits.items() if self._matcher.in_force(edit) == number
        ]

    def make_vectors(self, edits: Iterable[Edit], *, show_progress: bool = False) -> None:
        """Embeds what edits say and was not embedded yet.

        Raises:
            EditsError: The folder is gone.
        """
        if self.folder is not None and not self.folder.is_dir():
            raise EditsError(f"{self.folder} is gone; open the edits anew, or save them elsewhere.")
        missing = self.vectors.missing(edit.relation for edit in edits)
        with progress_bars(show_progress) as bars:
            task = bars.add_task("Reading edits", total=len(missing))
            for first in range(0, len(missing), _PER_STEP):
                some = missing[first : first + _PER_STEP]
                self.vectors.add(some, self.embedder.embed(some))
                bars.advance(task, len(some))

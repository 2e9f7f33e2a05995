"""Passages found by meaning: the index that a question is asked of.

Axes: N passages, D vector size.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.arguments import as_count, as_ids
from diekae_rag.index.conditions import Filter, as_filter
from diekae_rag.index.contents import Contents
from diekae_rag.index.diversity import as_relevance
from diekae_rag.index.embedder import (
    MINILM,
    Embedder,
    SentenceTransformerEmbedder,
    as_embedder,
    question_vectors,
)
from diekae_rag.index.embedding import Question, check_size, entry_vectors, read_questions
from diekae_rag.index.entries import Entry, as_record
from diekae_rag.index.folder import Manifest, read_index_folder, write_index_folder
from diekae_rag.index.probe import Probe
from diekae_rag.index.reopening import opening_embedder, opening_probe
from diekae_rag.index.store import PassageStore
from diekae_rag.index.vectors import EXACT_UP_TO
from diekae_rag.passages import Passage, as_passages

__all__ = ["PassageIndex"]

PassageLike = Passage | str | Mapping[str, Any]


class Follower(Protocol):
    """What is kept in step with the passages of an index."""

    def add(self, passages: Iterable[Passage], *, show_progress: bool = False) -> object:
        """Takes passages in before the index does; what it raises keeps them out of both."""

    def remove(self, ids: Iterable[str]) -> None:
        """Forgets passages that the index has deleted."""


class PassageIndex:
    """Passages, their metadata and their vectors, searched exactly up to 200,000 of them.

    What such a search finds depends on the passages in the index alone: not on the order they came
    in, not on what was added and deleted since, not on whether the index was saved and loaded.
    Equal scores are ordered by id. Threads may share an index.

    With more passages, adding puts them into cells, and a search compares those in the cells
    nearest to the question: as many as it takes a sample of the passages to find 97 % of their 10
    nearest others. Some of the ``k`` best may then be missed, and which ones depends on what was in
    the index when the cells were made; ``k`` passages come back as before, with their true scores,
    best first. ``search_info`` says what holds. Cells are made anew once as many passages were
    added as there were before; for a million that takes a minute or two, and other threads wait.

    Args:
        embedder: A sentence-transformers name or folder, ``"minilm"``, or an ``Embedder``;
            ``GivenVectors()`` for an index that is given every vector.
        exact_up_to: Up to how many passages a search compares the question with all of them.

    Example:
        >>> class Letters:
        ...     name = "letters"
        ...     def embed(self, texts, *, show_progress=False):
        ...         return np.array([[t.count(c) for c in "adiu"] for t in texts], np.float32)
        >>> index = PassageIndex.build(["banana", "kiwi"], embedder=Letters())
        >>> [(p.text, round(p.score, 2)) for p in index.search("mississippi", k=1)]
        [('kiwi', 1.0)]
    """

    def __init__(
        self, embedder: Embedder | str | Path = MINILM, *, exact_up_to: int = EXACT_UP_TO
    ) -> None:
        self._embedder = as_embedder(embedder)
        self._exact_up_to = as_count(exact_up_to, what="exact_up_to", least=0)
        nothing = np.zeros((0, 0), np.float32)
        self._contents = Contents(PassageStore(), nothing, exact_up_to=self._exact_up_to)
        self._probe: Probe | None = None
        self._followers: list[Follower] = []
        self._lock = threading.RLock()

    @classmethod
    def build(
        cls,
        passages: Iterable[PassageLike],
        embedder: Embedder | str | Path = MINILM,
        *,
        exact_up_to: int = EXACT_UP_TO,
        show_progress: bool = False,
    ) -> PassageIndex:
        """Makes an index of passages; as ``add`` to an empty one."""
        index = cls(embedder, exact_up_to=exact_up_to)
        index._add(map(Entry, as_passages(passages)), show_progress)
        return index

    @property
    def embedder(self) -> Embedder:
        """What turns texts into vectors."""
        return self._embedder

    @property
    def search_info(self) -> dict[str, Any]:
        """How a search finds passages, as JSON values.

        ``is_exact``: whether all are compared. Where cells were made also ``cells``, how many;
        ``compared_share``, which part of the passages is compared (above a third all are, as that
        is quicker); ``recall``, how much a sample of the passages found so.
        """
        with self._lock:
            return self._contents.search_info()

    def __len__(self) -> int:
        with self._lock:
            return len(self._contents.store)

    def __contains__(self, id: object) -> bool:
        with self._lock:
            return isinstance(id, str) and bool(self._contents.store.rows_of([id]))

    def __iter__(self) -> Iterator[Passage]:
        """Yields the passages in the order they were added, as they are now."""
        return iter(self.matching({}))

    def __repr__(self) -> str:
        return f"<PassageIndex: {len(self)} passages, embedder {self._embedder.name!r}>"

    def add(self, passages: Iterable[PassageLike], *, show_progress: bool = False) -> list[str]:
        """Adds passages; one whose id is there already takes that passage's place.

        Either all are added or, if anything is wrong, none; if cells have to be made, that is after
        all are added. Of passages with the same id the last one counts. Lone surrogates in text and
        metadata are stored as U+FFFD.

        Args:
            passages: ``Passage`` objects, strings, or mappings with ``"text"``; a passage of only
                spaces is left out with a warning.
            show_progress: Draw a progress bar on stderr.

        Returns:
            The ids added, each once.

        Raises:
            TypeError: Something is no passage, or its metadata is not JSON.
        """
        return self._add(map(Entry, as_passages(passages)), show_progress)

    def add_entries(self, entries: Iterable[Entry], *, show_progress: bool = False) -> list[str]:
        """As ``add``, for a host that has vectors already, or more to keep than a passage.

        The first vector that came along is held against what the index's embedder makes of the
        same text, so that vectors of two embedders never meet; with ``GivenVectors`` they cannot
        be told apart, and only their size is checked.

        Raises:
            ValueError: Vectors of another size or another embedder, or that are not finite.
            TypeError: Metadata that is not JSON.
        """
        return self._add(entries, show_progress)

    def _add(self, entries: Iterable[Entry], show_progress: bool) -> list[str]:
        every = list(entries)
        kept = {entry.passage.id: entry for entry in every if not entry.passage.is_blank}
        if blank := sum(entry.passage.is_blank for entry in every):
            warnings.warn(
                f"{blank} of {len(every)} passages had only spaces and were left out.",
                stacklevel=3,
            )
        records = [as_record(entry) for entry in kept.values()]
        if not records:
            return []
        last = list(kept.values())
        vectors = entry_vectors(last, self._embedder, show_progress=show_progress)
        with self._lock:
            is_first = not self._contents.vector_size
            check_size(vectors, self._contents.vector_size, self._embedder)
            for follower in self._followers:
                kept_now = [Passage(record.text, record.id) for record in records]
                follower.add(kept_now, show_progress=show_progress)
            self._contents.replace(records, vectors)
            if is_first:
                self._probe = Probe(last[0].text_to_embed, vectors[0])
            self._contents.train(show_progress=show_progress)
        return list(kept)

    def delete(self, ids: Iterable[str]) -> int:
        """Deletes passages by id; ids that are not there are ignored.

        Returns:
            How many passages were deleted.

        Raises:
            TypeError: ``ids`` is one string; a list was needed.
        """
        wanted = dict.fromkeys(as_ids(ids))
        with self._lock:
            return self._remove(self._contents.store.rows_of(wanted))

    def delete_matching(self, filter: Filter) -> int:
        """Deletes the passages that a filter lets through; ``{}`` lets all through.

        Returns:
            How many passages were deleted.
        """
        if filter is None:
            raise TypeError("delete_matching needs a filter; {} deletes everything.")
        with self._lock:
            return self._remove(self._contents.store.rows_matching(as_filter(filter)))

    def _remove(self, rows: list[int]) -> int:
        ids = list(self._contents.store.ids(rows).values()) if self._followers else []
        count = self._contents.remove(rows)
        for follower in self._followers:
            follower.remove(ids)
        return count

    def add_follower(self, follower: Follower) -> None:
        """Tells ``follower`` from now on what is added and deleted."""
        with self._lock:
            if follower not in self._followers:
                self._followers.append(follower)

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Returns passages by id, in the order asked for; ids that are not there are left out."""
        wanted = as_ids(ids)
        with self._lock:
            store = self._contents.store
            return [store.passage(row) for row in store.rows_of(wanted)]

    def matching(self, filter: Filter) -> list[Passage]:
        """Returns the passages that a filter lets through, in the order they were added."""
        with self._lock:
            store = self._contents.store
            return [store.passage(row) for row in store.rows_matching(as_filter(filter))]

    def attachments(self, ids: Iterable[str]) -> dict[str, str]:
        """Returns what a host keeps beside passages (``Entry.attachment``), by their ids."""
        wanted = as_ids(ids)
        with self._lock:
            return self._contents.store.attachments(wanted)

    def search(self, query: Question, k: int = 4, filter: Filter | None = None) -> list[Passage]:
        """Finds the passages nearest to a question.

        Args:
            query: The question, or its vector.
            k: How many to find; with fewer in the index, all of them are returned.
            filter: Metadata a passage must have, as ``{key: value}``; a list, tuple or set of
                values means any of them. Applied before the search, so that ``k`` passages come
                back whenever ``k`` match. Values are compared as JSON: ``1`` is ``1.0`` and is not
                ``True``; ``None`` matches a null, not a missing key. Or a condition, from
                ``diekae_rag.index.conditions``.

        Returns:
            Passages with ``score``, the inner product of normalised vectors (their cosine), best
            first. Empty for an empty index, or when nothing matches the filter.

        Raises:
            ValueError: The question is blank, its vector has another size, or ``k`` is below 1.
            TypeError: The question is not a string, or the filter is no mapping of JSON values.
        """
        return self.search_many([query], k, filter)[0]

    def search_many(
        self, queries: Sequence[Question], k: int = 4, filter: Filter | None = None
    ) -> list[list[Passage]]:
        """Answers several questions as ``search`` does one, embedding them together."""
        k = as_count(k)
        questions = read_questions(queries)
        conditions = as_filter(filter)
        if not len(questions) or not len(self):
            return [[] for _ in questions]
        vectors = self._read(questions)
        with self._lock:
            check_size(vectors, self._contents.vector_size, self._embedder)
            return self._contents.nearest(vectors, k, conditions)

    def search_diverse(
        self,
        query: Question,
        k: int = 4,
        filter: Filter | None = None,
        *,
        fetch_k: int = 20,
        relevance: float = 0.5,
    ) -> list[Passage]:
        """Finds passages near to a question that do not all say the same (MMR).

        Args:
            query: The question, or its vector.
            k: How many to find.
            filter: As for ``search``.
            fetch_k: From how many of the nearest to choose; at least ``k``.
            relevance: From 1, as ``search``, down to 0, as different as can be.

        Returns:
            Passages as they were chosen, the nearest first; ``score`` is as in ``search``.

        Raises:
            ValueError: As ``search``; or ``relevance`` is outside 0 to 1.
            TypeError: As ``search``.
        """
        k, fetch_k = as_count(k), as_count(fetch_k)
        relevance = as_relevance(relevance)
        questions = read_questions([query])
        conditions = as_filter(filter)
        if not len(self):
            return []
        vectors = self._read(questions)
        with self._lock:
            check_size(vectors, self._contents.vector_size, self._embedder)
            return self._contents.diverse(vectors, k, conditions, max(k, fetch_k), relevance)

    def save(self, folder: str | Path) -> None:
        """Writes the index to a folder: arrays, SQLite and a manifest with checksums, no pickle.

        The folder appears whole or not at all, and an index that was there is replaced only once
        the new one is complete. What was deleted is not in it, but for the text of the first
        passage: the manifest keeps it, with its vector, to know the embedder again.

        Raises:
            IndexFolderError: The folder holds something else than an index.
        """
        with self._lock:
            vectors, cells = self._contents.vectors(), self._contents.cells()
            manifest = Manifest(
                embedder=self._embedder.name,
                is_custom_embedder=not isinstance(self._embedder, SentenceTransformerEmbedder),
                vector_size=vectors.shape[1],
                count=len(vectors),
                probe=self._probe.as_dict() if self._probe is not None and len(vectors) else {},
            )
            write_index_folder(Path(folder), manifest, self._contents.store, vectors, cells)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        embedder: Embedder | str | Path | None = None,
        *,
        takes_vectors: bool = False,
        exact_up_to: int = EXACT_UP_TO,
    ) -> PassageIndex:
        """Reads an index that ``save`` wrote; nothing in the folder is executed.

        Args:
            folder: Where it was saved.
            embedder: What embeds questions. By default the one the manifest names, if that is
                ``"minilm"`` or a model of the sentence-transformers organisation: a folder from
                somebody else cannot have a local path or another hub model loaded. For those, and
                for embedder objects, pass it here; it then reads one text whose vector is known,
                to make sure that these are its vectors.
            takes_vectors: The caller will pass vectors: an embedder that would have to be passed
                may be missing.
            exact_up_to: As for ``PassageIndex``. Cells are loaded as they were saved; where there
                are none, the next ``add`` makes them, and until then searches are exact.

        Raises:
            IndexFolderError: The folder is missing, foreign, damaged or too new, or its vectors
                come from another embedder.
        """
        folder = Path(folder)
        manifest, store, vectors, cells = read_index_folder(folder)
        given = None if embedder is None else as_embedder(embedder)
        opened = opening_embedder(given, manifest, folder, takes_vectors)
        index = cls(opened, exact_up_to=exact_up_to)
        index._contents = Contents(store, vectors, cells, index._exact_up_to)
        index._probe = opening_probe(given, manifest, folder, store, vectors)
        return index

    def _read(self, questions: list[str] | NDArray[np.float32]) -> NDArray[np.float32]:
        if isinstance(questions, list):
            return question_vectors(self._embedder, questions)
        return questions

"""Passages found by meaning: the index that a question is asked of.

Axes: N passages, D vector size.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.arguments import as_count, as_filter, as_ids, as_questions
from diekae_rag.index.embedder import (
    MINILM,
    Embedder,
    SentenceTransformerEmbedder,
    as_embedder,
    unit_vectors,
)
from diekae_rag.index.folder import Manifest, read_index_folder, write_index_folder
from diekae_rag.index.reopening import check_embedder, embedder_named
from diekae_rag.index.store import PassageStore, as_record
from diekae_rag.index.vectors import VectorTable
from diekae_rag.passages import Passage, as_passages

__all__ = ["PassageIndex"]

PassageLike = Passage | str | Mapping[str, Any]


class PassageIndex:
    """Passages, their metadata and their vectors, searched exactly.

    What a search finds depends on the passages in the index alone: not on the order they came in,
    not on what was added and deleted since, not on whether the index was saved and loaded. Equal
    scores are ordered by id. Threads may share an index.

    Args:
        embedder: A sentence-transformers name or folder, ``"minilm"``, or an ``Embedder``.

    Example:
        >>> class Letters:
        ...     name = "letters"
        ...     def embed(self, texts, *, show_progress=False):
        ...         return np.array([[t.count(c) for c in "adiu"] for t in texts], np.float32)
        >>> index = PassageIndex.build(["banana", "kiwi"], embedder=Letters())
        >>> [(p.text, round(p.score, 2)) for p in index.search("mississippi", k=1)]
        [('kiwi', 1.0)]
    """

    def __init__(self, embedder: Embedder | str | Path = MINILM) -> None:
        self._embedder = as_embedder(embedder)
        self._store = PassageStore()
        self._vectors: VectorTable | None = None
        self._lock = threading.RLock()

    @classmethod
    def build(
        cls,
        passages: Iterable[PassageLike],
        embedder: Embedder | str | Path = MINILM,
        *,
        show_progress: bool = False,
    ) -> PassageIndex:
        """Makes an index of passages; as ``add`` to an empty one."""
        index = cls(embedder)
        index._add(passages, show_progress)
        return index

    @property
    def embedder(self) -> Embedder:
        """What turns texts into vectors."""
        return self._embedder

    def __len__(self) -> int:
        with self._lock:
            return len(self._store)

    def __contains__(self, id: object) -> bool:
        with self._lock:
            return isinstance(id, str) and bool(self._store.rows_of([id]))

    def __iter__(self) -> Iterator[Passage]:
        """Yields the passages in the order they were added, as they are now."""
        with self._lock:
            return iter([self._store.passage(row) for row in self._store.all_rows()])

    def __repr__(self) -> str:
        return f"<PassageIndex: {len(self)} passages, embedder {self._embedder.name!r}>"

    def add(self, passages: Iterable[PassageLike], *, show_progress: bool = False) -> list[str]:
        """Adds passages; one whose id is there already takes that passage's place.

        Either all are added or, if anything is wrong, none. Of passages with the same id the last
        one counts. Lone surrogates in text and metadata are stored as U+FFFD.

        Args:
            passages: ``Passage`` objects, strings, or mappings with ``"text"``; a passage of only
                spaces is left out with a warning.
            show_progress: Draw a progress bar on stderr.

        Returns:
            The ids added, each once.

        Raises:
            TypeError: Something is no passage, or its metadata is not JSON.
        """
        return self._add(passages, show_progress)

    def _add(self, passages: Iterable[PassageLike], show_progress: bool) -> list[str]:
        every = as_passages(passages)
        readable = [passage for passage in every if not passage.is_blank]
        if blank := len(every) - len(readable):
            warnings.warn(
                f"{blank} of {len(every)} passages had only spaces and were left out.",
                stacklevel=3,
            )
        records = {passage.id: as_record(passage) for passage in readable}
        if not records:
            return []
        vectors = unit_vectors(
            self._embedder, [text for _, text, _ in records.values()], show_progress=show_progress
        )
        with self._lock:
            table = VectorTable(vectors.shape[1]) if self._vectors is None else self._vectors
            self._check_size(vectors, table.vector_size)
            replaced = self._store.rows_of(records)
            first = self._store.next_row()
            rows = range(first, first + len(records))
            table.add(rows, vectors)
            try:
                self._store.replace(replaced, rows, records.values())
            except BaseException:
                table.remove(rows)
                raise
            table.remove(replaced)
            self._vectors = table
        return list(records)

    def delete(self, ids: Iterable[str]) -> int:
        """Deletes passages by id; ids that are not there are ignored.

        Returns:
            How many passages were deleted.

        Raises:
            TypeError: ``ids`` is one string; a list was needed.
        """
        wanted = dict.fromkeys(as_ids(ids))
        with self._lock:
            rows = self._store.rows_of(wanted)
            if rows and self._vectors is not None:
                self._store.replace(rows, [], [])
                self._vectors.remove(rows)
            return len(rows)

    def get(self, ids: Iterable[str]) -> list[Passage]:
        """Returns passages by id, in the order asked for; ids that are not there are left out."""
        wanted = as_ids(ids)
        with self._lock:
            return [self._store.passage(row) for row in self._store.rows_of(wanted)]

    def search(
        self, query: str, k: int = 4, filter: Mapping[str, Any] | None = None
    ) -> list[Passage]:
        """Finds the passages nearest to a question.

        Args:
            query: The question.
            k: How many to find; with fewer in the index, all of them are returned.
            filter: Metadata a passage must have, as ``{key: value}``; a list, tuple or set of
                values means any of them. Applied before the search, so that ``k`` passages come
                back whenever ``k`` match. Values are compared as JSON: ``1`` is ``1.0`` and is not
                ``True``; ``None`` matches a null, not a missing key.

        Returns:
            Passages with ``score``, the inner product of normalised vectors, best first. Empty for
            an empty index, or when nothing matches the filter.

        Raises:
            ValueError: The question is blank, or ``k`` is below 1.
            TypeError: The question is not a string, or the filter is no mapping of JSON values.
        """
        return self.search_many([query], k, filter)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 4, filter: Mapping[str, Any] | None = None
    ) -> list[list[Passage]]:
        """Answers several questions as ``search`` does one, embedding them together."""
        k = as_count(k)
        questions = as_questions(queries)
        conditions = as_filter(filter)
        if not questions or not len(self):
            return [[] for _ in questions]
        vectors = unit_vectors(self._embedder, questions)
        with self._lock:
            if self._vectors is None:
                return [[] for _ in questions]
            self._check_size(vectors, self._vectors.vector_size)
            among = self._store.rows_matching(conditions) if conditions else None
            return [self._best(hits, k) for hits in self._vectors.search(vectors, k, among)]

    def save(self, folder: str | Path) -> None:
        """Writes the index to a folder: arrays, SQLite and a manifest with checksums, no pickle.

        The folder appears whole or not at all, and an index that was there is replaced only once
        the new one is complete.

        Raises:
            IndexFolderError: The folder holds something else than an index.
        """
        with self._lock:
            table = self._vectors
            vectors = np.zeros((0, 0), np.float32) if table is None else table.in_order()
            manifest = Manifest(
                embedder=self._embedder.name,
                is_custom_embedder=not isinstance(self._embedder, SentenceTransformerEmbedder),
                vector_size=vectors.shape[1],
                count=len(vectors),
            )
            write_index_folder(Path(folder), manifest, self._store, vectors)

    @classmethod
    def load(
        cls, folder: str | Path, embedder: Embedder | str | Path | None = None
    ) -> PassageIndex:
        """Reads an index that ``save`` wrote; nothing in the folder is executed.

        Args:
            folder: Where it was saved.
            embedder: What embeds questions. By default the one the manifest names, if that is
                ``"minilm"`` or a model of the sentence-transformers organisation: a folder from
                somebody else cannot have a local path or another hub model loaded. For those, and
                for embedder objects, pass it here; it then reads one stored passage, to make sure
                that these are its vectors.

        Raises:
            IndexFolderError: The folder is missing, foreign, damaged or too new, or its vectors
                come from another embedder.
        """
        folder = Path(folder)
        manifest, store, vectors = read_index_folder(folder)
        index = cls(embedder_named(manifest, folder) if embedder is None else embedder)
        index._store = store
        if manifest.vector_size:
            index._vectors = VectorTable(manifest.vector_size)
            index._vectors.add(store.all_rows(), vectors)
        if embedder is not None and len(vectors):
            first = store.passage(store.all_rows()[0])
            check_embedder(index._embedder, manifest, folder, first.text, vectors[0])
        return index

    def _check_size(self, vectors: NDArray[np.float32], vector_size: int) -> None:
        if vectors.shape[1] != vector_size:
            raise ValueError(
                f"the embedder {self._embedder.name!r} makes vectors of {vectors.shape[1]} numbers,"
                f" this index holds {vector_size}; use the embedder that it was built with."
            )

    def _best(self, hits: list[tuple[int, float]], k: int) -> list[Passage]:
        ids = self._store.ids([row for row, _ in hits])
        ordered = sorted(hits, key=lambda hit: (-hit[1], ids[hit[0]]))
        return [self._store.passage(row, score) for row, score in ordered[:k]]

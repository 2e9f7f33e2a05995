"""What an index holds: passages in SQLite and vectors in FAISS, row by row the same.

Axes: N entries, Q queries, D vector size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.cells import Cells
from diekae_rag.index.conditions import Filter
from diekae_rag.index.diversity import choose_diverse
from diekae_rag.index.entries import Record
from diekae_rag.index.store import PassageStore
from diekae_rag.index.vectors import EXACT_UP_TO, VectorTable
from diekae_rag.passages import Passage

__all__ = ["Contents"]

Vectors = NDArray[np.float32]


class Contents:
    """Passages with their vectors. The caller checks sizes and keeps threads apart.

    Args:
        store: The passages.
        vectors: ``[N, D]``, by ascending row of the store; ``D`` is 0 before the first passage.
        cells: Those of the vectors, where they were made before.
        exact_up_to: Up to how many passages a search compares all.

    Example:
        >>> contents = Contents(PassageStore(), np.zeros((0, 0), np.float32))
        >>> contents.replace([Record("t", "Turin.", "{}", None, None)], np.eye(1, dtype=np.float32))
        >>> [p.text for p in contents.nearest(np.eye(1, dtype=np.float32), 3, {})[0]]
        ['Turin.']
    """

    def __init__(
        self,
        store: PassageStore,
        vectors: Vectors,
        cells: Cells | None = None,
        exact_up_to: int = EXACT_UP_TO,
    ) -> None:
        self.store = store
        self._exact_up_to = exact_up_to
        self._table = VectorTable(vectors.shape[1], exact_up_to) if vectors.shape[1] else None
        if self._table is not None:
            self._table.add(store.all_rows(), vectors)
            self._table.cells = cells

    @property
    def vector_size(self) -> int:
        """D, or 0 where there is no passage: then vectors of any size may come."""
        return self._table.vector_size if self._table is not None and len(self.store) else 0

    def vectors(self) -> Vectors:
        """All vectors, ``[N, D]``, in the order of the store."""
        size = self.vector_size
        return self._table.in_order() if size and self._table else np.zeros((0, size), np.float32)

    def cells(self) -> Cells | None:
        """The cells of the vectors, in the order of the store."""
        return self._table.cells_in_order() if self.vector_size and self._table else None

    def train(self, *, show_progress: bool) -> None:
        """Makes the cells that a search among many needs, where they are due."""
        if self._table is not None:
            self._table.train(show_progress=show_progress)

    def search_info(self) -> dict[str, Any]:
        """How passages are found, as JSON values."""
        if self._table is None or not self.vector_size or self._table.cells is None:
            return {"is_exact": True}
        return {"is_exact": self._table.is_exact, **self._table.cells.describe()}

    def replace(self, records: Iterable[Record], vectors: Vectors) -> None:
        """Adds ``N`` records with ``[N, D]`` vectors in the places of those with the same ids.

        All are added or, if that fails, none.
        """
        records = list(records)
        table = self._table
        if table is None or not self.vector_size:
            table = VectorTable(vectors.shape[1], self._exact_up_to)
        replaced = self.store.rows_of(record.id for record in records)
        first = self.store.next_row()
        rows = range(first, first + len(records))
        table.add(rows, vectors)
        try:
            self.store.replace(replaced, rows, records)
        except BaseException:
            table.remove(rows)
            raise
        table.remove(replaced)
        self._table = table

    def remove(self, rows: list[int]) -> int:
        """Removes rows; returns how many."""
        if rows and self._table is not None:
            self.store.replace(rows, [], [])
            self._table.remove(rows)
        return len(rows)

    def nearest(self, queries: Vectors, k: int, filter: Filter) -> list[list[Passage]]:
        """For each of ``[Q, D]`` queries the ``k`` best passages; equal scores go by id."""
        return [
            [self.store.passage(row, score) for row, score in hits]
            for hits in self._nearest(queries, k, filter)
        ]

    def diverse(
        self, query: Vectors, k: int, filter: Filter, fetch_k: int, relevance: float
    ) -> list[Passage]:
        """Of the ``fetch_k`` passages nearest to a ``[1, D]`` query, ``k`` that differ."""
        (hits,) = self._nearest(query, fetch_k, filter)
        if not hits or self._table is None:
            return []
        scores = np.array([score for _, score in hits], np.float32)
        vectors = self._table.get([row for row, _ in hits])
        chosen = choose_diverse(scores, vectors, k, relevance)
        return [self.store.passage(*hits[position]) for position in chosen]

    def _nearest(self, queries: Vectors, k: int, filter: Filter) -> list[list[tuple[int, float]]]:
        if self._table is None or not self.vector_size:
            return [[] for _ in queries]
        is_whole = isinstance(filter, Mapping) and not filter
        among = None if is_whole else self.store.rows_matching(filter)
        return [self._best(hits, k) for hits in self._table.search(queries, k, among)]

    def _best(self, hits: list[tuple[int, float]], k: int) -> list[tuple[int, float]]:
        ids = self.store.ids([row for row, _ in hits])
        return sorted(hits, key=lambda hit: (-hit[1], ids[hit[0]]))[:k]

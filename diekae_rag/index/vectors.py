"""Exact nearest vectors by inner product, through FAISS.

Axes: N vectors, Q queries, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["VectorTable"]

Vectors = NDArray[np.float32]

# Few queries at a time keep FAISS on its exact kernel, where a score depends on no neighbour.
_QUERIES_AT_ONCE = 16


class VectorTable:
    """Vectors of one size, each under an integer row, searched without approximation.

    A score depends on the two vectors alone, never on the order in which they were added.

    Args:
        vector_size: D.

    Example:
        >>> table = VectorTable(2)
        >>> table.add([7, 9], np.eye(2, dtype=np.float32))
        >>> table.search(np.array([[0.6, 0.8]], dtype=np.float32), k=1)
        [[(9, 0.800...)]]
    """

    def __init__(self, vector_size: int) -> None:
        import faiss

        self.vector_size = vector_size
        self._flat = faiss.IndexFlatIP(vector_size)
        self._rows = np.zeros(0, np.int64)
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def add(self, rows: Sequence[int], vectors: Vectors) -> None:
        """Adds ``[N, D]`` vectors under ``[N]`` rows that are not yet in the table."""
        start = len(self)
        self._flat.add(np.ascontiguousarray(vectors))
        self._rows = np.append(self._rows, np.array(rows, np.int64))
        self._places.update(zip(rows, range(start, len(self)), strict=True))

    def remove(self, rows: Sequence[int]) -> None:
        """Removes rows; those not in the table are ignored. The last ones fill the holes."""
        import faiss

        holes = {self._places.pop(row) for row in rows if row in self._places}
        kept = len(self) - len(holes)
        sources = [place for place in range(kept, len(self)) if place not in holes]
        targets = [place for place in holes if place < kept]
        vectors = self._vectors()
        vectors[targets] = vectors[sources]
        self._rows[targets] = self._rows[sources]
        self._places.update(zip(self._rows[targets].tolist(), targets, strict=True))
        self._flat.remove_ids(faiss.IDSelectorRange(kept, len(self)))
        self._rows = self._rows[:kept]

    def get(self, rows: Sequence[int]) -> Vectors:
        """Returns the vectors of ``[N]`` rows, ``[N, D]``."""
        return self._vectors()[self._places_of(rows)]

    def in_order(self) -> Vectors:
        """Returns all vectors, ``[N, D]``, by ascending row."""
        return self._vectors()[np.argsort(self._rows)]

    def _vectors(self) -> Vectors:
        """What FAISS holds, ``[N, D]``, in place."""
        import faiss

        size = len(self) * self.vector_size
        vectors = faiss.rev_swig_ptr(self._flat.get_xb(), size) if size else np.zeros(0, np.float32)
        return np.asarray(vectors).reshape(len(self), self.vector_size)

    def _places_of(self, rows: Sequence[int]) -> NDArray[np.int64]:
        return np.fromiter((self._places[row] for row in rows), np.int64, len(rows))

    def search(
        self, queries: Vectors, k: int, among: Sequence[int] | None = None
    ) -> list[list[tuple[int, float]]]:
        """Finds the rows with the largest inner products.

        Args:
            queries: ``[Q, D]``.
            k: How many rows to find for each query.
            among: Search these rows only, exactly: an excluded row takes nobody's place.

        Returns:
            For each query ``(row, score)``, best first: ``k``, or all there are if fewer, or more
            where rows tie with the last one (the caller decides between them).
        """
        available = len(self) if among is None else len(among)
        if not available:
            return [[] for _ in queries]
        return [
            hits
            for start in range(0, len(queries), _QUERIES_AT_ONCE)
            for hits in self._search(
                queries[start : start + _QUERIES_AT_ONCE], min(k, available), available, among
            )
        ]

    def _search(
        self, queries: Vectors, k: int, available: int, among: Sequence[int] | None
    ) -> list[list[tuple[int, float]]]:
        import faiss

        chosen = None
        if among is not None:
            selector = faiss.IDSelectorBatch(self._places_of(among))
            chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        wanted = min(k + 1, available)
        while True:
            scores, places = self._flat.search(queries, wanted, params=chosen)
            is_cut_in_a_tie = bool((scores[:, k - 1] == scores[:, wanted - 1]).any())
            if wanted == available or not is_cut_in_a_tie:
                break
            wanted = min(2 * wanted, available)
        rows, reaches = self._rows[places], scores >= scores[:, k - 1 : k]
        return [
            list(zip(rows[q, reaches[q]].tolist(), scores[q, reaches[q]].tolist(), strict=True))
            for q in range(len(queries))
        ]

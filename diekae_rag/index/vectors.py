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
        self._index = faiss.IndexIDMap2(self._flat)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, rows: Sequence[int], vectors: Vectors) -> None:
        """Adds ``[N, D]`` vectors under ``[N]`` rows that are not yet in the table."""
        if len(rows):
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.array(rows, np.int64))

    def remove(self, rows: Sequence[int]) -> None:
        """Removes rows; those not in the table are ignored."""
        import faiss

        if len(rows):
            self._index.remove_ids(faiss.IDSelectorBatch(np.array(rows, np.int64)))

    def get(self, rows: Sequence[int]) -> Vectors:
        """Returns the vectors of ``[N]`` rows, ``[N, D]``."""
        return np.stack([self._index.reconstruct(row) for row in rows])

    def in_order(self) -> Vectors:
        """Returns all vectors, ``[N, D]``, by ascending row."""
        import faiss

        if not len(self):
            return np.zeros((0, self.vector_size), np.float32)
        order = np.argsort(faiss.vector_to_array(self._index.id_map))
        return np.asarray(self._flat.reconstruct_n(0, len(self))[order], np.float32)

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
            selector = faiss.IDSelectorBatch(np.array(among, np.int64))
            chosen = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        wanted = min(k + 1, available)
        while True:
            scores, rows = self._index.search(queries, wanted, params=chosen)
            is_cut_in_a_tie = bool((scores[:, k - 1] == scores[:, wanted - 1]).any())
            if wanted == available or not is_cut_in_a_tie:
                break
            wanted = min(2 * wanted, available)
        reaches = scores >= scores[:, k - 1 : k]
        return [
            list(zip(rows[q, reaches[q]].tolist(), scores[q, reaches[q]].tolist(), strict=True))
            for q in range(len(queries))
        ]

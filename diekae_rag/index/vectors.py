"""Nearest vectors by inner product, through FAISS: exactly, and among many through cells.

Axes: N vectors, Q queries, D vector size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.cell_training import NEIGHBOURS, train_cells
from diekae_rag.index.cells import Cells, nearest_cells

__all__ = ["EXACT_UP_TO", "VectorTable"]

Vectors = NDArray[np.float32]

EXACT_UP_TO = 200_000
"""Up to how many vectors each is compared; 200,000 of 384 numbers take about 50 ms a question."""

# To compare a larger part than this through cells takes longer than to compare all.
_LARGEST_SHARE = 1 / 3

# Few queries at a time keep FAISS on its exact kernel, where a score depends on no neighbour.
_QUERIES_AT_ONCE = 16


class VectorTable:
    """Vectors of one size, each under an integer row.

    A score depends on the two vectors alone, never on the order in which they were added. Up to
    ``exact_up_to`` vectors, or until ``train`` has run, a search compares all of them; above, those
    in the nearest cells. The vectors are held once; cells take 10 bytes for each.

    Args:
        vector_size: D.
        exact_up_to: Up to how many vectors a search compares all.

    Example:
        >>> table = VectorTable(2)
        >>> table.add([7, 9], np.eye(2, dtype=np.float32))
        >>> table.search(np.array([[0.6, 0.8]], dtype=np.float32), k=1)
        [[(9, 0.800...)]]
    """

    def __init__(self, vector_size: int, exact_up_to: int = EXACT_UP_TO) -> None:
        import faiss

        self.vector_size = vector_size
        self.exact_up_to = exact_up_to
        self.cells: Cells | None = None
        self._flat = faiss.IndexFlatIP(vector_size)
        self._rows = np.zeros(0, np.int64)
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def add(self, rows: Sequence[int], vectors: Vectors) -> None:
        """Adds ``[N, D]`` vectors under ``[N]`` rows that are not yet in the table."""
        start = len(self)
        cells = None if self.cells is None else nearest_cells(self.cells.centroids, vectors)
        self._flat.add(np.ascontiguousarray(vectors))
        self._rows = np.append(self._rows, np.array(rows, np.int64))
        self._places.update(zip(rows, range(start, len(self)), strict=True))
        if self.cells is not None and cells is not None:
            self.cells.add(cells)

    def train(self, *, show_progress: bool = False) -> None:
        """Makes cells where there should be some, or new ones where too much came since."""
        is_due = self.cells is None or self.cells.is_outdated
        if len(self) > self.exact_up_to and is_due:
            self.cells = train_cells(self._vectors(), show_progress=show_progress)

    @property
    def is_exact(self) -> bool:
        """Whether a search compares all vectors."""
        if self.cells is None or len(self) <= self.exact_up_to:
            return True
        return self.cells.calibration.share > _LARGEST_SHARE

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
        if self.cells is not None:
            self.cells.remove(sources, targets, kept)

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

    def cells_in_order(self) -> Cells | None:
        """Returns the cells, with their numbers by ascending row."""
        if self.cells is None:
            return None
        numbers = self.cells.numbers[np.argsort(self._rows)]
        return Cells(self.cells.centroids, numbers, self.cells.calibration, self.cells.num_added)

    def search(
        self, queries: Vectors, k: int, among: Sequence[int] | None = None
    ) -> list[list[tuple[int, float]]]:
        """Finds the rows with the largest inner products.

        Through cells, a search compares at least the share of the table that was measured when
        they were made, and more for a ``k`` above 10. Rows that ``among`` leaves out do not count
        towards it: more cells are looked into, and where few rows are left, all of them compared.

        Args:
            queries: ``[Q, D]``.
            k: How many rows to find for each query.
            among: Search these rows only: an excluded row takes nobody's place.

        Returns:
            For each query ``(row, score)``, best first: ``k``, or all there are if fewer, or more
            where rows tie with the last one (the caller decides between them).
        """
        if not (len(self) if among is None else len(among)):
            return [[] for _ in queries]
        places = None if among is None else self._places_of(among)
        if self.cells is None or self.is_exact:
            return [
                hits
                for start in range(0, len(queries), _QUERIES_AT_ONCE)
                for hits in self._search(queries[start : start + _QUERIES_AT_ONCE], k, places)
            ]
        share = self.cells.calibration.share * max(1.0, k / NEIGHBOURS)
        enough = max(k, math.ceil(min(share, 1.0) * len(self)))
        groups = self.cells.groups(places)
        return [
            hits
            for query in queries
            for hits in self._search(query[None], k, self.cells.near(query, enough, groups))
        ]

    def _search(
        self, queries: Vectors, k: int, among: NDArray[np.int64] | None
    ) -> list[list[tuple[int, float]]]:
        import faiss

        available = len(self) if among is None else len(among)
        k, chosen = min(k, available), None
        if among is not None:
            selector = faiss.IDSelectorArray(among)  # an array: only these are looked at
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

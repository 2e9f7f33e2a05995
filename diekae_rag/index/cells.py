"""Vectors put into cells, so that a question is compared with those of the nearest cells alone.

Axes: N vectors, C cells, M vectors to choose from, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_CELLS", "Calibration", "Cells", "Groups", "nearest_cells"]

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]
CellNumbers = NDArray[np.uint16]

MAX_CELLS = 2**16


def nearest_cells(centroids: Vectors, vectors: Vectors) -> CellNumbers:
    """For each of ``[N, D]`` vectors the nearest of ``[C, D]`` centroids, ``[N]``.

    Example:
        >>> eye = np.eye(2, dtype=np.float32)
        >>> nearest_cells(eye, eye[::-1].copy())
        array([1, 0], dtype=uint16)
    """
    import faiss

    flat = faiss.IndexFlatIP(centroids.shape[1])
    flat.add(centroids)
    return flat.search(np.ascontiguousarray(vectors), 1)[1][:, 0].astype(np.uint16)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured when cells were made.

    Args:
        share: Which part of all vectors a search compares, from 0 to 1.
        recall: How many of their true neighbours a sample of the vectors found so.
        num_vectors: How many vectors there were.
    """

    share: float
    recall: float
    num_vectors: int


@dataclass(frozen=True, slots=True)
class Groups:
    """Places in the order of their cells.

    Args:
        places: ``[M]``.
        sizes: How many of them each cell holds, ``[C]``.
        starts: Where each cell's begin, ``[C]``.
    """

    places: Places
    sizes: Places
    starts: Places


class Cells:
    """Which cell each vector of a table is in, by its place there.

    Args:
        centroids: ``[C, D]``, of length 1.
        numbers: The cell of each place, ``[N]``.
        calibration: What was measured when the centroids were made.
        num_added: Vectors that came since then.

    Example:
        >>> cells = Cells(np.eye(2, dtype=np.float32), np.array([0, 1, 0], np.uint16),
        ...               Calibration(0.5, 1.0, 3))
        >>> cells.near(np.array([0.8, 0.6], np.float32), 1, cells.groups())
        array([0, 2])
    """

    def __init__(
        self,
        centroids: Vectors,
        numbers: CellNumbers,
        calibration: Calibration,
        num_added: int = 0,
    ) -> None:
        self.centroids = np.ascontiguousarray(centroids)
        self.numbers = numbers
        self.calibration = calibration
        self.num_added = num_added
        self._all: Groups | None = None

    @property
    def is_outdated(self) -> bool:
        """True once as many vectors came as there were when the cells were made."""
        return self.num_added >= self.calibration.num_vectors

    def add(self, numbers: CellNumbers) -> None:
        """Adds places at the end, in the cells that ``nearest_cells`` found for them."""
        self.numbers = np.append(self.numbers, numbers)
        self.num_added += len(numbers)
        self._all = None

    def remove(self, sources: Sequence[int], targets: Sequence[int], kept: int) -> None:
        """Follows a table whose ``sources`` moved to ``targets`` and that kept ``kept`` places."""
        self.numbers[targets] = self.numbers[sources]
        self.numbers = self.numbers[:kept]
        self._all = None

    def groups(self, among: Places | None = None) -> Groups:
        """Orders all places, or ``[M]`` of them, by cell."""
        if among is not None:
            return self._grouped(among, self.numbers[among])
        if self._all is None:
            self._all = self._grouped(np.arange(len(self.numbers)), self.numbers)
        return self._all

    def _grouped(self, places: Places, numbers: CellNumbers) -> Groups:
        sizes = np.bincount(numbers, minlength=len(self.centroids))
        order = np.argsort(numbers, kind="stable")
        return Groups(places[order], sizes, np.cumsum(sizes) - sizes)

    def near(self, query: Vectors, enough: int, groups: Groups) -> Places:
        """Takes the cells nearest to a query until they hold enough.

        Args:
            query: ``[D]``.
            enough: How many places to return at least, if there are so many.
            groups: What to choose from.

        Returns:
            Places, whole cells of them, the nearest cell first.
        """
        order = np.argsort(-self._likeness(query), kind="stable")
        held = np.cumsum(groups.sizes[order])
        chosen = order[: int(np.searchsorted(held, enough)) + 1]
        ends = groups.starts + groups.sizes
        return np.concatenate([groups.places[groups.starts[c] : ends[c]] for c in chosen])

    def _likeness(self, query: Vectors) -> Vectors:
        """Products with the centroids, ``[C]``, in this thread: to wait for others takes longer."""
        import faiss

        likeness = np.empty(len(self.centroids), np.float32)
        faiss.fvec_inner_products_ny(  # type: ignore[attr-defined]
            faiss.swig_ptr(likeness),
            faiss.swig_ptr(np.ascontiguousarray(query)),
            faiss.swig_ptr(self.centroids),
            *self.centroids.shape[::-1],
        )
        return likeness

    def describe(self) -> dict[str, Any]:
        """What is to know of them, as JSON values."""
        return {
            "cells": len(self.centroids),
            "compared_share": self.calibration.share,
            "recall": self.calibration.recall,
        }

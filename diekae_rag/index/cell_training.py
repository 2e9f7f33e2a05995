"""How vectors are put into cells, and how many cells a search has to look into.

Axes: N vectors, C cells, S sampled vectors, K neighbours, D vector size.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.cells import MAX_CELLS, Calibration, CellNumbers, Cells, nearest_cells

__all__ = ["NEIGHBOURS", "train_cells"]

Vectors = NDArray[np.float32]
Places = NDArray[np.int64]

NEIGHBOURS = 10
"""For how many neighbours the share to compare is measured."""

_GOAL = 0.97  # above what is promised: a question is no passage, and more passages will come
_LEAST = 8  # cells' worth, however easy the sample was: a question may lie farther off
_SEED = 0
_ROUNDS = 8
_PER_CELL = 32
_SAMPLE = 500
_AT_ONCE = 50_000


def train_cells(vectors: Vectors, *, show_progress: bool = False) -> Cells:
    """Makes cells by spherical k-means, then measures which share of the vectors to compare.

    The share is the smallest with which a sample of the vectors, which the cells were not made of,
    finds 97 % of its 10 nearest others; and at least what 8 cells hold. All is drawn from a fixed
    seed.

    Args:
        vectors: ``[N, D]``, of length 1; at least one.
        show_progress: Draw a progress bar on stderr.

    Example:
        >>> eye = np.repeat(np.eye(4, dtype=np.float32), 20, axis=0)
        >>> cells = train_cells(eye)
        >>> cells.calibration.recall >= 0.97
        True
    """
    if len(vectors) == 1:
        return Cells(vectors.copy(), np.zeros(1, np.uint16), Calibration(1.0, 1.0, 1))
    random = np.random.default_rng(_SEED)
    num_cells = min(round(4 * len(vectors) ** 0.5), len(vectors), MAX_CELLS)
    asked, taught = _apart(random, len(vectors), _PER_CELL * num_cells)
    sample = vectors[taught]
    centroids = sample[:num_cells].copy()
    for _ in _steps(range(_ROUNDS), "Finding cells", show_progress):
        centroids = _moved(centroids, sample)
    del sample
    starts = _steps(range(0, len(vectors), _AT_ONCE), "Filling cells", show_progress)
    parts = [nearest_cells(centroids, vectors[start : start + _AT_ONCE]) for start in starts]
    numbers = np.concatenate(parts)
    return Cells(centroids, numbers, _calibrate(vectors, asked, centroids, numbers))


def _apart(random: np.random.Generator, count: int, most: int) -> tuple[Places, Places]:
    """Places to ask about and places to make cells of, at most so many, with none in both.

    The centroids lean towards what they were made of: asked about that, too few cells would seem
    enough for a question.
    """
    shuffled = random.permutation(count)
    num_asked = min(_SAMPLE, -(-count // 10))
    return np.sort(shuffled[:num_asked]), shuffled[num_asked:][:most]


def _moved(centroids: Vectors, sample: Vectors) -> Vectors:
    """Each centroid to the mean of those nearest to it; one that has none stays."""
    numbers = nearest_cells(centroids, sample)
    filled, starts = np.unique(np.sort(numbers), return_index=True)
    sums = np.add.reduceat(sample[np.argsort(numbers, kind="stable")], starts)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    moved = centroids.copy()
    moved[filled] = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), moved[filled])
    return moved


def _calibrate(
    vectors: Vectors, asked: Places, centroids: Vectors, numbers: CellNumbers
) -> Calibration:
    """Measures how many vectors are in the cells that come before each true neighbour's."""
    count = min(NEIGHBOURS, len(vectors) - 1)
    order = np.argsort(-(vectors[asked] @ centroids.T), axis=1, kind="stable")
    sizes = np.bincount(numbers, minlength=len(centroids))[order]
    before = np.empty_like(sizes)
    np.put_along_axis(before, order, np.cumsum(sizes, axis=1) - sizes, axis=1)
    cells = numbers[_neighbours(vectors, asked, count)].astype(np.int64)
    needed = np.take_along_axis(before, cells, axis=1) + 1
    least = min(_LEAST / len(centroids), 1.0)
    share = max(float(np.quantile(needed, _GOAL, method="higher")) / len(vectors), least)
    return Calibration(share, float((needed <= share * len(vectors)).mean()), len(vectors))


def _neighbours(vectors: Vectors, asked: Places, count: int) -> Places:
    """The nearest others of ``[S]`` places, exactly, ``[S, K]``."""
    import faiss

    _, found = faiss.knn(vectors[asked], vectors, count + 1, metric=faiss.METRIC_INNER_PRODUCT)
    is_other = found != asked[:, None]
    is_other[is_other.all(axis=1), -1] = False
    return np.asarray(found[is_other]).reshape(len(asked), count)


def _steps(steps: range, what: str, show_progress: bool) -> Iterable[int]:
    if not show_progress:
        return steps
    from rich.console import Console
    from rich.progress import track

    return track(steps, what, console=Console(stderr=True))

"""Cells as files: two arrays, and what was measured as JSON.

Axes: N vectors, C cells, D vector size.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.cells import MAX_CELLS, Calibration, Cells

__all__ = ["CENTROIDS", "NUMBERS", "cells_as_arrays", "cells_as_dict", "read_cells"]

CENTROIDS, NUMBERS = "centroids.npy", "cells.npy"


def cells_as_arrays(cells: Cells) -> dict[str, NDArray[Any]]:
    """The arrays to write, by the names of their files: ``[C, D]`` and ``[N]``."""
    return {CENTROIDS: cells.centroids, NUMBERS: cells.numbers}


def cells_as_dict(cells: Cells) -> dict[str, Any]:
    """What the manifest keeps of cells, as JSON values."""
    return {**asdict(cells.calibration), "num_added": cells.num_added}


def read_cells(
    content: dict[str, Any], arrays: dict[str, NDArray[Any]], shape: tuple[int, int]
) -> Cells:
    """Reads what the two functions above wrote.

    Args:
        content: What the manifest says.
        arrays: By the names of their files.
        shape: Of the vectors, ``(N, D)``.

    Raises:
        ValueError: It is something else, or does not fit the vectors.

    Example:
        >>> cells = Cells(np.eye(2, dtype=np.float32), np.array([1], np.uint16),
        ...               Calibration(0.5, 1.0, 1))
        >>> read_cells(cells_as_dict(cells), cells_as_arrays(cells), (3, 2))
        Traceback (most recent call last):
        ...
        ValueError: cells.npy is not a cell below 2 for each of 3 vectors
    """
    types = {"share": float, "recall": float, "num_vectors": int, "num_added": int}
    if set(content) != set(types) or any(type(content[k]) is not t for k, t in types.items()):
        raise ValueError("the manifest lacks what it should say of cells, or says more")
    if not (0 < content["share"] <= 1 and content["num_vectors"] > 0 <= content["num_added"]):
        raise ValueError("what the manifest says of cells cannot be")
    centroids, numbers = arrays[CENTROIDS], arrays[NUMBERS]
    num_cells = len(centroids) if centroids.ndim else 0
    if (
        centroids.dtype != np.float32
        or centroids.shape != (num_cells, shape[1])
        or not 0 < num_cells <= MAX_CELLS
        or not np.isfinite(centroids).all()
    ):
        raise ValueError(f"{CENTROIDS} is no float32 array of vectors of {shape[1]} numbers")
    if (
        numbers.dtype != np.uint16
        or numbers.shape != shape[:1]
        or (numbers.size and int(numbers.max()) >= num_cells)
    ):
        raise ValueError(
            f"{NUMBERS} is not a cell below {num_cells} for each of {shape[0]} vectors"
        )
    measured = Calibration(content["share"], content["recall"], content["num_vectors"])
    return Cells(centroids, numbers, measured, content["num_added"])

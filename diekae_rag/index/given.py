"""Vectors that somebody else has made.

Axes: N vectors, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GivenVectors", "as_unit_vectors"]

_ANYBODY = "vectors that were given"


class GivenVectors:
    """The embedder of an index that is given every vector: it embeds nothing itself.

    Args:
        name: Who makes the vectors, where that is known.

    Example:
        >>> GivenVectors().embed(["Turin"])
        Traceback (most recent call last):
        ...
        ValueError: this index has no embedder (it holds vectors that were given), so that it cannot
        read texts; pass vectors, or open it with the embedder that made them.
    """

    def __init__(self, name: str = _ANYBODY) -> None:
        self.name = name

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Raises.

        Raises:
            ValueError: Always.
        """
        what = self.name if self.name == _ANYBODY else f"vectors made by {self.name!r}"
        raise ValueError(
            f"this index has no embedder (it holds {what}), so that it cannot read texts; "
            "pass vectors, or open it with the embedder that made them."
        )


def as_unit_vectors(values: Any, count: int, maker: str) -> NDArray[np.float32]:
    """Reads vectors from whoever made them, who is not trusted.

    Args:
        values: Numbers, ``[N, D]``.
        count: N.
        maker: Who made them, for the error.

    Returns:
        ``[N, D]`` float32, every row of length 1, or all zeros where it was so.

    Raises:
        ValueError: The shape is wrong, or values are not finite.

    Example:
        >>> as_unit_vectors([[3, 4]], 1, "I")
        array([[0.6, 0.8]], dtype=float32)
    """
    try:
        vectors = np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{maker} made something else than vectors of one size: {error}") from None
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise ValueError(
            f"{maker} returned shape {vectors.shape} for {count} texts; "
            f"it must return [{count}, D]."
        )
    if not np.isfinite(vectors).all():
        raise ValueError(f"{maker} returned values that are not finite.")
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))[:, None]
    lengths[lengths == 0] = 1
    units = np.empty(vectors.shape, np.float32)
    np.divide(vectors, lengths, out=units, casting="same_kind")
    return units

"""Maximal marginal relevance: near to the question, and not all saying the same.

Axes: N candidates, D vector size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_relevance", "choose_diverse"]


def as_relevance(relevance: float) -> float:
    """Reads the weight of relevance against diversity.

    Example:
        >>> as_relevance(2)
        Traceback (most recent call last):
        ...
        ValueError: relevance=2 is outside 0..1; 1 is relevance alone, 0 diversity alone.
    """
    if isinstance(relevance, bool) or not isinstance(relevance, int | float):
        raise TypeError(f"relevance must be a number, got {type(relevance).__name__}.")
    if not 0 <= relevance <= 1:
        raise ValueError(
            f"relevance={relevance} is outside 0..1; 1 is relevance alone, 0 diversity alone."
        )
    return float(relevance)


def choose_diverse(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], k: int, relevance: float
) -> list[int]:
    """Chooses candidates one by one, each the best of those that are left.

    The first is the most relevant. What counts after it is ``relevance`` times a candidate's score
    less ``1 - relevance`` times its likeness to the likest of those chosen; of equals, the one that
    comes first. With a relevance of 1 these are the ``k`` best scores.

    Args:
        scores: Inner products with the question, ``[N]``, best first.
        vectors: ``[N, D]``, of length 1.
        k: How many to choose.
        relevance: From 0 to 1.

    Returns:
        ``min(k, N)`` positions, as they were chosen.

    Example:
        >>> vectors = np.array([[1, 0], [1, 0], [0.6, 0.8]], np.float32)
        >>> choose_diverse(vectors[:, 0], vectors, 2, 0.4)
        [0, 2]
    """
    chosen: list[int] = []
    likeness = np.full(len(scores), -np.inf, np.float32)
    is_left = np.ones(len(scores), np.bool_)
    while len(chosen) < min(k, len(scores)):
        gain = relevance * scores - (1 - relevance) * likeness if chosen else scores
        chosen.append(int(np.argmax(np.where(is_left, gain, -np.inf))))
        is_left[chosen[-1]] = False
        likeness = np.maximum(likeness, vectors @ vectors[chosen[-1]])
    return chosen

"""Rounds as medians with their ends, and ratios round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["compare", "spread", "summarise"]


def summarise(arm: Mapping[str, Any], batch_size: int) -> dict[str, Any]:
    """One arm's rounds as medians with their ends, and what follows from its memory.

    Args:
        arm: As ``worker.measure`` gave it.
        batch_size: Rows answered at once.

    Returns:
        What it was given, where it does not fit; else ``first_seconds`` and ``seconds`` as
        ``median``, ``min``, ``max`` and ``rounds``; ``tokens_per_second`` of all rows after the
        first token, ``None`` without any; ``sequences_that_fit``, computed: free memory by the
        peak of one row; and the rest as it came.
    """
    if not arm["fits"]:
        return dict(arm)
    later = batch_size * (arm["new_tokens"] - 1)
    pairs = list(zip(arm["first_seconds"], arm["seconds"], strict=True))
    peak = arm["peak_bytes"]
    return {
        **arm,
        "first_seconds": spread(arm["first_seconds"]),
        "seconds": spread(arm["seconds"]),
        "tokens_per_second": (
            statistics.median(later / max(whole - first, 1e-9) for first, whole in pairs)
            if later > 0
            else None
        ),
        "sequences_that_fit": int(arm["available_bytes"] * batch_size / peak) if peak else None,
    }


def compare(arms: Mapping[str, dict[str, Any]]) -> None:
    """Adds to each arm its times as shares of others', the median of the ratios round by round."""
    for arm in arms.values():
        if arm["fits"]:
            arm["ratios"] = {
                other: {
                    figure: statistics.median(
                        a / b
                        for a, b in zip(
                            arm[figure]["rounds"], arms[other][figure]["rounds"], strict=True
                        )
                    )
                    for figure in ("first_seconds", "seconds")
                }
                for other in ("none", "stuffed")
                if arm["new_tokens"] and arms.get(other, {"fits": False})["fits"]
            }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Rounds as their median with its ends.

    Example:
        >>> spread([3.0, 1.0, 2.0])
        {'median': 2.0, 'min': 1.0, 'max': 3.0, 'rounds': [3.0, 1.0, 2.0]}
    """
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "rounds": list(values),
    }

"""How costs grow: exponents of a power law, by least squares on logarithms."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["exponent", "fit_exponents"]

_VARIED = ("knowledge_tokens", "batch_size", "passages")
_FIGURES = ("first_seconds", "peak_bytes")
_Point = tuple[float, float]


def exponent(groups: Sequence[Sequence[_Point]]) -> float | None:
    """The slope that all groups of points share on logarithmic axes, each with a level of its own.

    Args:
        groups: Points ``(x, y)``, all above 0.

    Returns:
        The exponent ``a`` of ``y = c * x ** a``; ``None`` where no group has two different ``x``.

    Example:
        >>> exponent([[(1, 5), (2, 20)], [(1, 1), (10, 100)]])
        2.0
    """
    above = below = 0.0
    for points in groups:
        logs = [(math.log(x), math.log(y)) for x, y in points]
        mean_x = math.fsum(x for x, _ in logs) / len(logs) if logs else 0.0
        mean_y = math.fsum(y for _, y in logs) / len(logs) if logs else 0.0
        above += math.fsum((x - mean_x) * (y - mean_y) for x, y in logs)
        below += math.fsum((x - mean_x) ** 2 for x, _ in logs)
    return round(above / below, 12) if below > 1e-12 else None


def fit_exponents(cells: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """How time to the first token and peak memory grow with knowledge, batch and passages.

    Only settings that are alike in everything else are compared. Growing knowledge brings more
    passages where they have a fixed size; more passages are the same knowledge cut smaller.

    Args:
        cells: Settings of one model with their summaries, as a report has them.

    Returns:
        Arm -> figure -> what was varied -> ``{"exponent", "points"}``; what was never varied is
        left out.
    """
    fitted: dict[str, dict[str, dict[str, Any]]] = {}
    for varied in _VARIED:
        groups: dict[tuple[Any, ...], dict[tuple[str, str], list[_Point]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for cell in cells:
            setting = {**cell["setting"], "rounds": 0}
            x = cell["num_passages"] if varied == "passages" else setting[varied]
            setting[varied] = None
            group = groups[tuple(map(str, setting.values()))]
            for name, arm in cell["arms"].items():
                for figure in _FIGURES:
                    if y := _median(arm, figure):
                        group[name, figure].append((x, y))
        for name, figure in dict.fromkeys(key for group in groups.values() for key in group):
            points = [group[name, figure] for group in groups.values()]
            slope = exponent(points)
            if slope is not None:
                used = sum(len(some) for some in points if len(some) > 1)
                found = fitted.setdefault(name, {}).setdefault(figure, {})
                found[varied] = {"exponent": slope, "points": used}
    return fitted


def _median(arm: Mapping[str, Any], figure: str) -> float | None:
    value = arm.get(figure)
    return value["median"] if isinstance(value, Mapping) else value

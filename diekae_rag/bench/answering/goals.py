"""What we want an answer to cost, beside what it cost where that was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["check_goals"]

_Cell = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Goal:
    """A ratio of two arms, round by round, in the cells that it is about.

    Args:
        text: What it is, for people.
        above, below: Arms whose figures are divided.
        figure: ``first_seconds``, ``seconds`` or ``peak_bytes``.
        bound: What the ratio must reach, or stay under.
        is_least: Which of the two.
        knowledge_tokens, batch_size, new_tokens, num_passages: Of its cells; ``None``: any.
    """

    text: str
    above: str
    below: str
    figure: str
    bound: float
    is_least: bool = True
    knowledge_tokens: int | None = None
    batch_size: int | None = None
    new_tokens: int | None = None
    num_passages: int | None = None

    def is_about(self, cell: _Cell) -> bool:
        setting = {**cell["setting"], "num_passages": cell["num_passages"]}
        names = ("knowledge_tokens", "batch_size", "new_tokens", "num_passages")
        return all(getattr(self, n) in (None, setting[n]) for n in names)


_GOALS = (
    _Goal("first token, stuffed / injected, 1,024 tokens", "stuffed", "injected",
          "first_seconds", 18, knowledge_tokens=1024, batch_size=1),
    _Goal("first token, stuffed / injected, 4,096 tokens as eight passages", "stuffed", "injected",
          "first_seconds", 60, knowledge_tokens=4096, batch_size=1, num_passages=8),
    _Goal("first token, stuffed / kept states, 4,096 tokens", "stuffed", "injected, kept states",
          "first_seconds", 110, knowledge_tokens=4096, batch_size=1),
    *(_Goal(f"first token, kept states / no passages, {count:,} tokens", "injected, kept states",
            "none", "first_seconds", 1.15, is_least=False, knowledge_tokens=count, batch_size=1)
      for count in (128, 256, 512, 1024, 2048, 4096)),
    _Goal("64 new tokens, batch 8, stuffed / injected, 2,048 tokens", "stuffed", "injected",
          "seconds", 3, knowledge_tokens=2048, batch_size=8, new_tokens=64),
    _Goal("peak memory, injected / stuffed, batch 8, 2,048 tokens", "injected", "stuffed",
          "peak_bytes", 1 / 8, is_least=False, knowledge_tokens=2048, batch_size=8),
    _Goal("generate without passages / the base model's own", "none", "base",
          "seconds", 1.03, is_least=False),
    _Goal("six in a loop / six as one, 1,024 tokens", "six in a loop", "six as one",
          "seconds", 3, knowledge_tokens=1024, batch_size=1),
)  # fmt: skip


def check_goals(cells: Sequence[_Cell]) -> list[dict[str, Any]]:
    """Looks for the cells of each goal and says whether they reach it.

    A time's value is the median of the ratios round by round, of all cells that the goal is about.

    Args:
        cells: Settings of one model with their summaries, as a report has them.

    Returns:
        Of each goal that was measured ``goal``, ``at_least`` or ``at_most``, ``value``,
        ``is_met``.
    """
    checked = []
    for goal in _GOALS:
        ratios = [r for cell in cells if goal.is_about(cell) for r in _ratios(goal, cell["arms"])]
        if ratios:
            value = statistics.median(ratios)
            checked.append(
                {
                    "goal": goal.text,
                    "at_least" if goal.is_least else "at_most": goal.bound,
                    "value": value,
                    "is_met": value >= goal.bound if goal.is_least else value <= goal.bound,
                }
            )
    return checked


def _ratios(goal: _Goal, arms: Mapping[str, Any]) -> list[float]:
    above, below = (arms.get(name, {}).get(goal.figure) for name in (goal.above, goal.below))
    if not above or not below:
        return []
    if goal.figure == "peak_bytes":
        return [above / below]
    return [a / b for a, b in zip(above["rounds"], below["rounds"], strict=True)]

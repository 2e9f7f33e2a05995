"""One cell of the table: an arm, a number of edits, and what was done after adding them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ARMS", "CONDITIONS", "COUNTS", "STEPS", "CellOfEdits", "table_cells"]

ARMS = (
    "unedited",
    "as_knowledge",
    "as_knowledge_default",
    "in_weights",
    "in_context",
    "full",
    "lora",
)
"""``as_knowledge`` is way 2, with ``_default`` as the embedder comes; ``in_weights`` is way 1."""

COUNTS = (1, 10, 100, 1000, 10_000)
CONDITIONS = ("added", "half_removed", "loaded", "rolled_back", "one_by_one", "calls")
"""What is measured: after adding; after removing every second edit; after saving and loading; after
going back to the beginning; with each edit added by a call of its own; what calls cost."""

AFTER_ADDING = {
    "as_knowledge": ("half_removed", "loaded", "rolled_back", "one_by_one"),
    "in_weights": ("half_removed", "loaded", "rolled_back"),
}
"""Arm -> the conditions that make sense for it."""

STEPS = {"in_weights": 1500, "full": 1200, "lora": 1200}
"""Most training steps of the arms that train, where nothing else is asked for."""

_ONE_COUNT = ("unedited", "in_context", "as_knowledge_default")
_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class CellOfEdits:
    """What a cell measures.

    Args:
        arm: One of ``ARMS``.
        count: How many edits there are at once.
        condition: One of ``CONDITIONS``.
        num_asked: About how many of them, at most, is asked; and how many others are, where
            some of them are no held-out ones.
        num_unrelated: Unrelated prompts, whose logits are compared.
        seed: Of what is drawn.
        steps: Most training steps of an arm that trains.
        shape: Whose calls are timed, of ``diekae_rag.bench`` and with random weights; the reader's
            where none is named.
        model: Tells encoders and their embeddings from others.

    Raises:
        ValueError: A choice that does not exist, or a number below 1.
    """

    arm: str
    count: int
    condition: str = "added"
    num_asked: int = 1000
    num_unrelated: int = 200
    seed: int = 0
    steps: int = 0
    shape: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        for name, known in (("arm", ARMS), ("condition", CONDITIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )
        for name in ("count", "num_asked", "num_unrelated"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def table_cells(
    arms: Sequence[str],
    counts: Sequence[int],
    *,
    steps: Mapping[str, int] = STEPS,
    shapes: Sequence[str] = (),
    **common: Any,
) -> list[CellOfEdits]:
    """Every cell, an arm at a time: its numbers of edits, and for both ways what comes after.

    What comes after is measured on the largest set of at most 1,000, calls with the largest of way
    2. Arms for which the number makes no difference, or hardly any, have one of at most 1,000.

    Args:
        arms: Which ones.
        counts: Numbers of edits.
        steps: Most training steps of the arms that train.
        shapes: Further models whose calls are timed.
        **common: What is alike for all cells.

    Example:
        >>> cells = table_cells(["unedited", "as_knowledge"], [1, 10])
        >>> [(cell.arm, cell.count, cell.condition) for cell in cells][:3]
        [('unedited', 10, 'added'), ('as_knowledge', 1, 'added'), ('as_knowledge', 10, 'added')]
    """
    most = max((count for count in counts if count <= _TOGETHER), default=min(counts))
    cells = []
    for arm in arms:
        trained = {"steps": steps.get(arm, 0), **common}
        for count in [most] if arm in _ONE_COUNT else sorted(counts):
            cells.append(CellOfEdits(arm, count, **trained))
            if count == most:  # before others are added: edits in weights are written once
                after = AFTER_ADDING.get(arm, ())
                cells += [CellOfEdits(arm, count, condition, **trained) for condition in after]
        if arm == "as_knowledge":
            large = max(counts)
            cells += [CellOfEdits(arm, large, "calls", shape=s, **common) for s in ("", *shapes)]
    return cells

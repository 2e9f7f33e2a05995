"""What training an arm cost, as its run wrote it down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diekae_rag.training.plan import BASELINES

__all__ = ["read_training_cost"]


def read_training_cost(folder: Path | None) -> dict[str, Any]:
    """Seconds, peak memory and trained weights, from the ``cost.json`` files that belong to it.

    Encoders come out of several stages: in a run with a ``plan.json`` the seconds of all up to
    theirs add up, and the peak is the highest. Elsewhere a ``cost.json`` counts beside the weights,
    or one folder above where that is a stage's, which holds ``metrics.jsonl``.

    Args:
        folder: Where the weights were saved.

    Returns:
        ``seconds``, ``peak_memory_bytes``, ``trainable_weights``; ``{}`` where nothing, or not
        all of it, was written down.

    Raises:
        ValueError: A file is not what it should be.
    """
    if folder is None:
        return {}
    costs = [_read(path) if path.exists() else {} for path in _places(folder.resolve())]
    if not costs or not all(costs):
        return {}
    return {
        "seconds": sum(cost["seconds"] for cost in costs),
        "peak_memory_bytes": max(cost["peak_memory_bytes"] for cost in costs),
        "trainable_weights": costs[-1]["trainable_weights"],
    }


def _places(folder: Path) -> Sequence[Path]:
    """The files that tell of the weights in ``folder``, in the order of training."""
    beside, stage = folder / "cost.json", folder.parent
    if beside.exists():
        return [beside]
    if (stage / "plan.json").exists():  # the run's last encoders
        stages = _encoder_stages(stage / "plan.json")
        return [stage / name / "cost.json" for name in stages]
    if not (stage / "metrics.jsonl").exists():
        return []
    plan = stage.parent / "plan.json"
    if plan.exists() and stage.name in (stages := _encoder_stages(plan)):
        upto = stages[: stages.index(stage.name) + 1]
        return [stage.parent / name / "cost.json" for name in upto]
    return [stage / "cost.json"]


def _encoder_stages(plan: Path) -> list[str]:
    names = [s if isinstance(s, str) else s.get("name") for s in _read(plan).get("stages", [])]
    return [name for name in names if name and name not in BASELINES]


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again, or delete it.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold an object, not a {type(values).__name__}.")
    if path.name == "cost.json":
        needed = {"seconds", "peak_memory_bytes", "trainable_weights"}
        if missing := needed - set(values):
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; write it again.")
    return values

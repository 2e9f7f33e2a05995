"""A run's losses as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["plot_losses"]


def plot_losses(folder: Path, stages: Sequence[str]) -> Path | None:
    """Draws each stage's loss, and the held-out one, over its steps.

    Args:
        folder: A run's, with ``<stage>/metrics.jsonl`` in it.
        stages: Which, in order.

    Returns:
        The picture's place, ``loss.png``; ``None`` where nothing was logged yet.

    Raises:
        ImportError: matplotlib is not installed.
    """
    logged = {stage: lines for stage in stages if (lines := _lines(folder / stage))}
    if not logged:
        return None
    from diekae_rag.pictures import new_figure, save_figure

    figure = new_figure(4 * len(logged), 3)
    for axes, (stage, lines) in zip(figure.subplots(1, len(logged), squeeze=False)[0],
                                    logged.items(), strict=True):  # fmt: skip
        for key, label in (("loss", "training"), ("held_out_loss", "held out")):
            points = [(line["step"], line[key]) for line in lines if key in line]
            if points:
                axes.plot(*zip(*points, strict=True), label=label, marker=".")
        axes.set(
            title=stage,
            xlabel="step",
            ylabel="loss" if axes.get_subplotspec().is_first_col() else "",
        )
        axes.grid(alpha=0.3)
        axes.legend()
    return save_figure(figure, folder / "loss.png")


def _lines(folder: Path) -> list[dict[str, Any]]:
    log = folder / "metrics.jsonl"
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]

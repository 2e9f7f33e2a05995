"""Reports on records as pictures. Without matplotlib this module cannot be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.pictures import new_figure, save_figure

__all__ = ["save_plots"]


def save_plots(
    report: Mapping[str, Any], folder: str | os.PathLike[str], prefix: str = ""
) -> list[Path]:
    """Draws what ``evaluate_records`` returned; no display is needed.

    Args:
        report: As it was returned, or read back from JSON.
        folder: Where the PNG files go; made where it is not there.
        prefix: What their names begin with.

    Returns:
        ``<prefix>quality.png``: exact match and F1 by arm, with intervals;
        ``<prefix>loss.png``; ``<prefix>tokens.png``: tokens read against F1.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in {"quality": _quality, "loss": _loss, "tokens": _tokens}.items():
        figure = new_figure(8, 4.5)
        draw(figure.subplots(), report["arms"])
        paths.append(save_figure(figure, folder / f"{prefix}{name}.png"))
    return paths


def _quality(axes: Any, arms: Mapping[str, Any]) -> None:
    width = 0.4
    for shift, (key, label) in zip(
        (-width / 2, width / 2), (("exact_match", "exact match"), ("f1", "F1")), strict=True
    ):
        places = [place + shift for place in range(len(arms))]
        values, errors = _with_errors(list(arms.values()), key, 100)
        axes.bar(places, values, width, yerr=errors, capsize=3, label=label)
    axes.set_xticks(range(len(arms)), list(arms))
    axes.set_ylabel("per cent, with 95 % intervals")
    axes.set_ylim(bottom=0)
    axes.legend()


def _loss(axes: Any, arms: Mapping[str, Any]) -> None:
    values, errors = _with_errors(list(arms.values()), "loss")
    axes.bar(list(arms), values, yerr=errors, capsize=3)
    axes.set_ylabel("nats a token of the right answer")
    axes.set_ylim(bottom=0)


def _tokens(axes: Any, arms: Mapping[str, Any]) -> None:
    for name, arm in arms.items():
        value, error = _with_errors([arm], "f1", 100)
        axes.errorbar(arm["prompt_tokens"], value, yerr=error, fmt="o", capsize=3, label=name)
    axes.set_xlabel("tokens that the base model reads, mean")
    axes.set_ylabel("F1, per cent, with 95 % intervals")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()


def _with_errors(
    arms: Sequence[Mapping[str, Any]], key: str, scale: float = 1.0
) -> tuple[list[float], list[list[float]]]:
    """Values, and how far each one's interval reaches below and above it."""
    values = [arm[key] * scale for arm in arms]
    ends = [[end * scale for end in arm[f"{key}_interval"] or [arm[key], arm[key]]] for arm in arms]
    below = [max(0.0, value - low) for value, (low, _) in zip(values, ends, strict=True)]
    above = [max(0.0, high - value) for value, (_, high) in zip(values, ends, strict=True)]
    return values, [below, above]

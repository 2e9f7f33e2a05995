"""The benchmark of answers as pictures. Without matplotlib this module cannot be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diekae_rag.pictures import new_figure, save_figure

__all__ = ["save_answer_plot"]

_Series = dict[str, dict[int, Mapping[str, float]]]


def save_answer_plot(report: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Draws the time to the first token over the tokens of knowledge, a picture for each model.

    Of batches, only the smallest that was measured is drawn, and of answers the shortest.

    Args:
        report: What ``benchmark_answers`` returned, or the same read back from JSON.
        path: The PNG file, written under a temporary name first.
    """
    path = Path(path)
    figure = new_figure(8, 4.5 * len(report["models"]))
    panes = figure.subplots(len(report["models"]), squeeze=False)
    for axes, name in zip(panes.flat, report["models"], strict=True):
        cells = [c for c in report["cells"] if name in (c["setting"]["model"], _shape(c))]
        _draw(axes, name, _series(cells))
    return save_figure(figure, path)


def _shape(cell: Mapping[str, Any]) -> str:
    return "" if cell["setting"]["model"] else str(cell["setting"]["shape"])


def _series(cells: list[Mapping[str, Any]]) -> _Series:
    """Arm -> tokens of knowledge -> seconds."""
    names = ("batch_size", "new_tokens", "passages")
    series: _Series = {}
    # What comes last stays: the smallest batch, the shortest answer, passages of the usual size.
    order = sorted(cells, key=lambda c: [c["setting"][name] for name in names], reverse=True)
    smallest = order[-1]["setting"]["batch_size"] if order else 1
    for cell in order:
        if cell["setting"]["batch_size"] == smallest:
            for name, arm in cell["arms"].items():
                if arm["fits"] and arm["new_tokens"]:
                    tokens = cell["setting"]["knowledge_tokens"]
                    series.setdefault(name, {})[tokens] = arm["first_seconds"]
    return series


def _draw(axes: Any, title: str, series: _Series) -> None:
    for name, points in series.items():
        tokens = sorted(points)
        middle = [points[count]["median"] for count in tokens]
        below = [points[count]["median"] - points[count]["min"] for count in tokens]
        above = [points[count]["max"] - points[count]["median"] for count in tokens]
        axes.errorbar(tokens, middle, yerr=[below, above], marker="o", capsize=3, label=name)
    axes.set_title(title)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({count for points in series.values() for count in points})
    axes.set_xticks(lengths, [f"{count:,}" for count in lengths])
    axes.set_xlabel("tokens of knowledge")
    axes.set_ylabel("seconds to the first token, min to max")
    if series:
        axes.legend()

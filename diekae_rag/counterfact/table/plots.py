"""The table of edits as a picture. Without matplotlib this module cannot be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diekae_rag.counterfact.table.questions import KINDS
from diekae_rag.pictures import new_figure, save_figure

__all__ = ["save_edit_plot"]

_Figures = Mapping[int, Mapping[str, Any]]


def save_edit_plot(report: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Draws every arm over the number of edits: one pane for each kind of question and figure.

    Args:
        report: What ``measure_table`` returned, or the same read back from JSON.
        path: The PNG file.
    """
    path = Path(path)
    arms: dict[str, dict[int, Mapping[str, Any]]] = {}
    for cell in report["cells"]:
        if cell["setting"]["condition"] == "added":
            arms.setdefault(cell["setting"]["arm"], {})[cell["setting"]["count"]] = cell
    counts = sorted({count for cells in arms.values() for count in cells})
    figure = new_figure(12, 7)
    panes = figure.subplots(2, len(KINDS), sharex=True, sharey=True)
    for row, what in zip(panes, ("success", "accuracy"), strict=True):
        for axes, kind in zip(row, KINDS, strict=True):
            for place, (name, cells) in enumerate(arms.items()):
                _draw(axes, name, f"C{place}", cells, what, kind)
            axes.set_title(f"{kind}, {what}")
            if counts:
                axes.set_xscale("log")
                axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.set_ylim(-3, 103)
    for axes in panes[-1]:
        axes.set_xlabel("edits at once")
    for row in panes:
        row[0].set_ylabel("per cent of held-out edits")
    if arms:
        panes[0][0].legend()
    return save_figure(figure, path)


def _draw(axes: Any, name: str, color: str, cells: _Figures, what: str, kind: str) -> None:
    """A line over the numbers of edits; a level across where there is but one number."""
    points = {n: 100 * cell[what][kind] for n, cell in sorted(cells.items()) if kind in cell[what]}
    if len(points) == 1:
        axes.axhline(*points.values(), color=color, linestyle="--", label=name)
    else:
        axes.plot(list(points), list(points.values()), marker="o", color=color, label=name)

"""Seconds in parts as pictures. Without matplotlib this module cannot be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

try:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'matplotlib is not installed; plots need it: pip install "diekae-rag[train]"'
    ) from error

__all__ = ["save_stacked_plot"]

Bars = Mapping[str, Mapping[str, float]]


def save_stacked_plot(panes: Mapping[str, Bars], path: str | os.PathLike[str]) -> Path:
    """Draws a bar for each way, of the seconds that its parts take, one behind the other.

    Args:
        panes: Title of a picture -> way -> part -> seconds; a part has the same colour everywhere.
        path: The PNG file, written under a temporary name first.
    """
    path = Path(path)
    parts = dict.fromkeys(part for bars in panes.values() for bar in bars.values() for part in bar)
    palette = colormaps["tab10"]
    colours = {part: palette(number % 10) for number, part in enumerate(parts)}
    height = sum(1.4 + 0.45 * len(bars) for bars in panes.values())
    figure = Figure(figsize=(9, height + 0.6), layout="constrained")
    shares = [1.4 + 0.45 * len(bars) for bars in panes.values()]
    grid = figure.subplots(len(panes), squeeze=False, height_ratios=shares)
    for axes, (title, bars) in zip(grid.flat, panes.items(), strict=True):
        for way, bar in bars.items():
            left = 0.0
            for part, seconds in bar.items():
                axes.barh(way, max(seconds, 0.0), left=left, color=colours[part])
                left += max(seconds, 0.0)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("seconds")
    for part, colour in colours.items():
        grid.flat[0].barh([0], [0], color=colour, label=part)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=150)
    temporary.replace(path)
    return path

"""Seconds in parts as pictures. Without matplotlib this module cannot be imported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from diekae_rag.pictures import new_figure, save_figure

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
    colours = {part: f"C{number % 10}" for number, part in enumerate(parts)}
    height = sum(1.4 + 0.45 * len(bars) for bars in panes.values())
    figure = new_figure(9, height + 0.6)
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
    return save_figure(figure, path)

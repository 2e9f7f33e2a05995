"""Pictures, whole or not at all. Without matplotlib this module cannot be imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diekae_rag.files import new_file

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'matplotlib is not installed; plots need it: pip install "diekae-rag[train]"'
    ) from error

__all__ = ["new_figure", "save_figure"]


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches; without pyplot, so that nothing global knows of it."""
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> Path:
    """Writes a figure as PNG under a temporary name and renames it; returns the path."""
    with new_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path

"""The whole table: cell by cell into a file that a next run goes on from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.bench.cells import measure_cells
from diekae_rag.counterfact.table.goals import check_goals
from diekae_rag.counterfact.table.measuring import Measurer
from diekae_rag.counterfact.table.setting import CellOfEdits
from diekae_rag.files import write_json

__all__ = ["measure_table"]

_FORMAT = "counterfact edits 1"


def measure_table(
    measurer: Measurer,
    cells: Sequence[CellOfEdits],
    output: Path,
    on_step: Callable[[int, int, str], object] = lambda done, total, step: None,
) -> dict[str, Any]:
    """Measures every cell that the file has not, and writes what is there after each.

    Args:
        measurer: Who measures.
        cells: What to measure.
        output: A JSON file; of what it holds, what is not asked for stays in it.
        on_step: Told how many cells are done, of how many, and what runs.

    Returns:
        The report on these cells: ``format``, ``cells`` and ``goals``.

    Raises:
        ValueError: The file is no such report.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    report = measure_cells(cells, measurer.measure, format=_FORMAT, output=output, on_step=on_step)
    asked = [cell.to_dict() for cell in cells]
    own = [cell for cell in report["cells"] if cell["setting"] in asked]
    goals = check_goals(own)
    write_json(output, {**report, "goals": goals})
    return {**report, "cells": own, "goals": goals}

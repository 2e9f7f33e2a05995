"""Notebooks run from top to bottom, and what they show is what they print today."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SPEC = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
refresh = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(refresh)

by_name = pytest.mark.parametrize("path", refresh.NOTEBOOKS, ids=lambda path: path.stem)


@by_name
def test_a_notebook_prints_what_was_kept(path):
    kept = nbformat.read(path, as_version=4)

    stale = refresh.differences(kept, refresh.run(path))

    assert not stale, "\n".join([*stale, f"refresh it: python notebooks/refresh.py {path}"])


@by_name
def test_every_cell_is_python_and_every_one_that_can_run_has_run(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    later = [n for n, cell in enumerate(cells) if "needs-weights" in refresh.tags(cell)]

    for number, cell in enumerate(cells):
        ast.parse(cell.source)
        has_run = not later or number < later[0]
        assert (cell.execution_count is not None) == has_run


@by_name
def test_nothing_of_the_machine_it_ran_on_is_kept(path):
    cells = nbformat.read(path, as_version=4).cells
    kept = json.dumps([cell.get("outputs") for cell in cells])

    assert not any(word in kept for word in (str(Path.home()), "site-packages", "stderr", "/tmp/"))


def test_a_stale_notebook_is_told_by_its_cell():
    kept = nbformat.read(refresh.NOTEBOOKS[0], as_version=4)
    now = nbformat.read(refresh.NOTEBOOKS[0], as_version=4)
    number, cell = next(
        (n, c)
        for n, c in enumerate(now.cells)
        if c.get("outputs") and "varies" not in refresh.tags(c)
    )

    cell.outputs[0].text = "something else"

    (told,) = refresh.differences(kept, now)
    assert told.startswith(f"cell {number} printed")
    assert "something else" in told

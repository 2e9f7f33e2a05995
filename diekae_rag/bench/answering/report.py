"""A grid of workloads, one process after the other, into a file that a next run goes on from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.bench.answering.apart import measure_apart
from diekae_rag.bench.answering.exponents import fit_exponents
from diekae_rag.bench.answering.goals import check_goals
from diekae_rag.bench.answering.setting import AnswerSetting
from diekae_rag.bench.answering.summary import compare, summarise
from diekae_rag.bench.cells import read_cells
from diekae_rag.files import write_json

__all__ = ["ARM_NAMES", "benchmark_answers"]

ARM_NAMES = (
    "none",
    "base",
    "stuffed",
    "stuffed, prefix cache",
    "injected",
    "injected, kept states",
    "injected, kept in int8",
    "combined",
    "six as one",
    "six in a loop",
)
"""The arms of ``diekae_rag.bench.answering.arms``, named here so that nothing heavy is loaded."""

_FORMAT = 1
_Told = Callable[[str], object]
_Measure = Callable[[AnswerSetting, Sequence[str], _Told], Mapping[str, Any]]


def benchmark_answers(
    settings: Sequence[AnswerSetting],
    *,
    arms: Sequence[str] = ARM_NAMES,
    output: str | os.PathLike[str] | None = None,
    measure: _Measure = measure_apart,
    on_step: Callable[[int, int, str], object] = lambda done, total, step: None,
) -> dict[str, Any]:
    """Measures every workload, and writes what is there after each.

    Args:
        settings: The workloads.
        arms: Which arms.
        output: A JSON file. What it holds already, with at least these arms, is not measured
            again; what else it holds stays.
        measure: Measures one workload.
        on_step: Told how many workloads are done, of how many, and what runs.

    Returns:
        The report: ``format``, ``cells`` (each ``setting``, ``num_passages``, ``load_average``
        before it, ``arms`` -> ``summarise``, and what ``worker.measure`` says of weights and
        machine) and ``models`` (name -> ``exponents`` and ``goals`` of its cells).

    Raises:
        ValueError: An arm that does not exist, nothing to measure, or a file that is no report.
    """
    if unknown := sorted(set(arms) - set(ARM_NAMES)) or not arms:
        raise ValueError(f"arms must be some of {'; '.join(ARM_NAMES)}; got {unknown or 'none'}.")
    if not settings:
        raise ValueError("there is nothing to measure; give at least one setting.")
    wanted = [name for name in ARM_NAMES if name in arms]
    place = None if output is None else Path(output)
    cells = [] if place is None else read_cells(place, _FORMAT)
    asked = [setting.to_dict() for setting in settings]
    for number, setting in enumerate(settings):
        there = [cell for cell in cells if cell["setting"] == asked[number]]
        if any(set(wanted) <= set(cell["arms"]) for cell in there):
            continue
        load = list(os.getloadavg())

        def tell(step: str, done: int = number) -> None:
            on_step(done, len(settings), step)

        tell("loading")
        measured = measure(setting, wanted, tell)
        cell = {
            "setting": asked[number],
            "num_passages": setting.num_passages,
            "load_average": load,
            **measured,
            "arms": {
                name: summarise(arm, setting.batch_size) for name, arm in measured["arms"].items()
            },
        }
        compare(cell["arms"])
        cells = [old for old in cells if old["setting"] != asked[number]] + [cell]
        if place is not None:
            write_json(place, _report(cells))
    on_step(len(settings), len(settings), "done")
    return _report(cells)


def _report(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    models: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        models.setdefault(cell["setting"]["model"] or cell["setting"]["shape"], []).append(cell)
    return {
        "format": _FORMAT,
        "cells": list(cells),
        "models": {
            name: {"exponents": fit_exponents(own), "goals": check_goals(own)}
            for name, own in models.items()
        },
    }

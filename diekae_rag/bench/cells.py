"""Settings measured one after the other, into a file that a next run goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from diekae_rag.files import write_json

__all__ = ["CellSetting", "measure_cells", "read_cells"]


class CellSetting(Protocol):
    """One workload of a benchmark."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""


S = TypeVar("S", bound=CellSetting)


def measure_cells(
    settings: Sequence[S],
    measure: Callable[[S, Callable[[str], object]], Mapping[str, Any]],
    *,
    format: str | int,
    output: str | os.PathLike[str] | None = None,
    on_step: Callable[[int, int, str], object] = lambda done, total, step: None,
) -> dict[str, Any]:
    """Measures every setting, and writes what is there after each.

    Args:
        settings: The workloads.
        measure: Measures one, and says what it is about to run.
        format: Tells reports of this benchmark from other files.
        output: A JSON file. What it holds already is not measured again; what else it holds stays.
        on_step: Told how many workloads are done, of how many, and what runs.

    Returns:
        The report: ``format`` and ``cells``, each with its ``setting``, the ``load_average`` before
        it, and what ``measure`` said.

    Raises:
        ValueError: A file that is no such report.

    Example:
        >>> from diekae_rag.bench.setting import Setting
        >>> report = measure_cells([Setting("tiny")], lambda *_: {"seconds": 2}, format="a")
        >>> report["cells"][0]["seconds"]
        2
    """
    place = None if output is None else Path(output)
    cells = [] if place is None else read_cells(place, format)
    for number, setting in enumerate(settings):
        asked = setting.to_dict()
        if any(cell["setting"] == asked for cell in cells):
            continue
        load = list(os.getloadavg())

        def tell(step: str, done: int = number) -> None:
            on_step(done, len(settings), step)

        tell("loading")
        cells.append({"setting": asked, "load_average": load, **measure(setting, tell)})
        if place is not None:
            write_json(place, {"format": format, "cells": cells})
    on_step(len(settings), len(settings), "done")
    return {"format": format, "cells": cells}


def read_cells(place: Path, format: str | int) -> list[dict[str, Any]]:
    """The cells of a report, if there is one.

    Raises:
        ValueError: The file is something else.
    """
    if not place.exists():
        return []
    try:
        report = json.loads(place.read_text(encoding="utf-8"))
    except ValueError:
        report = None
    if not isinstance(report, dict) or report.get("format") != format or "cells" not in report:
        raise ValueError(
            f"{place} is there and is no report of this benchmark; name another file, or delete it."
        )
    return list(report["cells"])

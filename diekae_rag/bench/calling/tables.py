"""The benchmark of whole calls for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.bench.answering.tables import where_measured
from diekae_rag.bench.tables import fraction

__all__ = ["call_bars", "call_tables"]

_NAMES = {
    "embed": "embed the question",
    "search": "search",
    "fetch": "fetch passages",
    "prepare": "word and tokenize",
    "states": "passages' states",
    "encoders": "encoders on the prompt",
    "base": "base model",
}


def call_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``diekae bench rag`` measured.

    Args:
        report: As ``measure_cells`` returned it, or read back from JSON.
    """
    parts: list[RenderableType] = []
    for cell in report["cells"]:
        parts += [_calls(cell), Text(where_measured(cell)), ""]
    return Group(*parts)


def call_bars(report: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Of every setting, what is drawn: each way as seconds in parts."""
    return {
        _title(cell): {
            arm: {_NAMES[part]: found["median"] for part, found in one["parts"].items()}
            for arm, one in cell["arms"].items()
        }
        for cell in report["cells"]
    }


def _title(cell: Mapping[str, Any]) -> str:
    setting = cell["setting"]
    return (
        f"{setting['model'] or setting['shape']}, {setting['k']} passages of "
        f"{setting['passage_tokens']} tokens out of {setting['index_size']:,}, question of "
        f"{setting['question_tokens']}"
    )


def _calls(cell: Mapping[str, Any]) -> Table:
    """A column for each way, so that parts are read from top to bottom."""
    arms = cell["arms"]
    table = Table(
        title=f"{_title(cell)}: milliseconds from the question to the first token",
        caption="Medians; each question finds passages of its own.",
    )
    table.add_column("part", no_wrap=True)
    for arm in arms:
        table.add_column(arm, justify="right")
    for part, name in _NAMES.items():
        table.add_row(name, *(_ms(arm["parts"][part]["median"]) for arm in arms.values()))
    table.add_section()
    whole = [arm["seconds"] for arm in arms.values()]
    table.add_row("[bold]first token[/]", *(_ms(seconds["median"]) for seconds in whole))
    table.add_row("min-max", *(f"{_ms(s['min'])}-{_ms(s['max'])}" for s in whole))
    for other in ("none", "stuffed"):
        found = [fraction(arm["ratios"][other]["median"]) for arm in arms.values()]
        table.add_row(f"of {other}'s", *found)
    return table


def _ms(seconds: float) -> str:
    """Milliseconds, with as many digits as say something.

    Example:
        >>> _ms(0.00123), _ms(0.0123), _ms(0.123), _ms(1e-7)
        ('1.23', '12.3', '123', '-')
    """
    ms = 1e3 * seconds
    if abs(ms) < 5e-3:
        return "-"
    return f"{ms:.2f}" if abs(ms) < 10 else f"{ms:.1f}" if abs(ms) < 100 else f"{ms:,.0f}"

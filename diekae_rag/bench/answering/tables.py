"""The benchmark of answers for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.bench.tables import fraction, gibibytes

__all__ = ["answer_tables", "where_measured"]

_VARIED = {"knowledge_tokens": "knowledge", "batch_size": "batch", "passages": "passages"}
_FIGURES = {"first_seconds": "first token", "peak_bytes": "peak memory"}


def answer_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``benchmark_answers`` returned: every workload, how costs grow, the goals.

    Args:
        report: As it was returned, or read back from JSON.
    """
    parts: list[RenderableType] = []
    for cell in report["cells"]:
        parts += [_first_tokens(cell), _totals(cell), Text(where_measured(cell)), ""]
    for name, model in report["models"].items():
        if model["exponents"]:
            parts += [_exponents(name, model["exponents"]), ""]
        if model["goals"]:
            parts += [_goals(name, model["goals"]), ""]
    return Group(*parts)


def _first_tokens(cell: Mapping[str, Any]) -> Table:
    setting = cell["setting"]
    count = cell["num_passages"]
    table = Table(
        title=f"{setting['model'] or setting['shape']}, {setting['batch_size']} x "
        f"{setting['knowledge_tokens']:,} tokens in {count} passage{'s' * (count > 1)} + "
        f"{setting['prompt_tokens']} prompt, {setting['new_tokens']} new"
    )
    _head(table, ("first token, s", "min-max", "of none's", "of stuffed's"))
    for name, arm in cell["arms"].items():
        if not arm["fits"]:
            table.add_row(name, f"does not fit: {arm['why']}", *[""] * 3)
            continue
        first = arm["first_seconds"]
        table.add_row(
            name,
            f"{first['median']:.3f}",
            f"{first['min']:.3f}-{first['max']:.3f}",
            _ratio(arm, "none"),
            _ratio(arm, "stuffed"),
        )
    return table


def _totals(cell: Mapping[str, Any]) -> Table:
    table = Table(caption="Peaks are above all weights; bytes, of a passage's token.")
    _head(table, ("tokens/s then", "all, s", "peak MiB", "rows that fit, computed", "bytes kept"))
    for name, arm in cell["arms"].items():
        if arm["fits"]:
            speed, peak = arm["tokens_per_second"], arm["peak_bytes"]
            fitting = arm["sequences_that_fit"]
            table.add_row(
                name,
                "-" if speed is None else f"{speed:.1f}",
                f"{arm['seconds']['median']:.3f}",
                "-" if peak is None else f"{peak / 2**20:.1f}",
                "-" if fitting is None else f"{fitting:,}",
                f"{arm['kept_bytes']:,.0f}" if arm["kept_bytes"] else "-",
            )
    return table


def _head(table: Table, headings: Sequence[str]) -> None:
    table.add_column("arm", style="bold", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")


def _ratio(arm: Mapping[str, Any], other: str) -> str:
    ratio = arm["ratios"].get(other)
    return fraction(None if ratio is None else ratio["first_seconds"])


def _exponents(name: str, exponents: Mapping[str, Any]) -> Table:
    table = Table(title=f"{name}: exponents; 1 is as fast as what is read, 2 its square")
    table.add_column("arm", style="bold")
    columns = [
        (figure, varied)
        for figure in _FIGURES
        for varied in _VARIED
        if any(varied in arm.get(figure, {}) for arm in exponents.values())
    ]
    for figure, varied in columns:
        table.add_column(f"{_FIGURES[figure]} by {_VARIED[varied]}", justify="right")
    for arm, fitted in exponents.items():
        found = [fitted.get(figure, {}).get(varied) for figure, varied in columns]
        table.add_row(
            arm, *("-" if f is None else f"{f['exponent']:.2f} ({f['points']})" for f in found)
        )
    return table


def _goals(name: str, goals: list[Mapping[str, Any]]) -> Table:
    table = Table(title=f"{name}: goals")
    for heading in ("goal", "wanted", "measured", "met"):
        table.add_column(heading, justify="left" if heading == "goal" else "right")
    for goal in goals:
        bound = goal.get("at_least", goal.get("at_most"))
        words = "at least" if "at_least" in goal else "at most"
        digits = 3 if bound < 2 else 1
        table.add_row(
            goal["goal"],
            f"{words} {bound:.{digits}f}",
            f"{goal['value']:.{digits}f}",
            "yes" if goal["is_met"] else "no",
        )
    return table


def where_measured(cell: Mapping[str, Any]) -> str:
    """Which weights, on which machine.

    Args:
        cell: One setting of a report.
    """
    setting, machine = cell["setting"], cell.get("machine")
    if machine is None:
        return "Nothing was measured."
    return (
        f"{machine['device']}, {machine['processor']} ({machine['capability']}), "
        f"{machine['threads']} threads, {gibibytes(machine['memory_bytes'])} GiB; torch "
        f"{machine['torch']}, transformers {machine['transformers']}; load before "
        f"{cell['load_average'][0]:.1f}. Base {cell['base']['weights']:,} weights, encoders "
        f"{cell['encoders']['weights']:,}, {setting['dtype']}; {setting['rounds']} rounds."
    )

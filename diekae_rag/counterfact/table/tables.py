"""The table of edits for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.bench.tables import gibibytes
from diekae_rag.counterfact.table.calls import PROMPTS
from diekae_rag.counterfact.table.questions import KINDS

__all__ = ["edit_tables"]

_FIGURES = (*KINDS, "score")


def edit_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``measure_table`` returned.

    Args:
        report: As it was returned, or read back from JSON.
    """
    cells = report["cells"]
    by_condition: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        by_condition.setdefault(cell["setting"]["condition"], []).append(cell)
    parts: list[RenderableType] = []
    if added := by_condition.get("added"):
        parts += [_added(added), *_recall(added), ""]
    for cell in by_condition.get("half_removed", []):
        parts += [_half_removed(cell), ""]
    parts += [Text(line) for line in _lines(by_condition)]
    for cell in by_condition.get("calls", []):
        parts += [_calls(cell), ""]
    if report["goals"]:
        parts += [_goals(report["goals"]), ""]
    return Group(*parts, Text(_where(cells[-1])) if cells else "")


def _added(cells: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        title="Held-out edits, per cent: success / accuracy",
        caption="score: harmonic mean; identical: unrelated prompts with the same logits, bit by "
        "bit; fluency: bits an n-gram of forced text; one set's editing takes so many seconds.",
    )
    _head(table, ("arm", "edits"), (*_FIGURES, "identical", "fluency", "s"))
    for cell in cells:
        setting = cell["setting"]
        sets = f" x {cell['num_sets']}" if cell["num_sets"] > 1 else ""
        table.add_row(
            setting["arm"],
            f"{cell['num_edits']:,}{sets}",
            *_shares(cell),
            _per_cent(cell["bit_identical"]),
            f"{cell['fluency']:.2f}",
            f"{cell['seconds']:.2f}",
        )
        if "others" in cell:
            table.add_row("  not held out", "", *_shares(cell["others"]))
    return table


def _recall(cells: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    found = [cell["recall"] for cell in cells if "recall" in cell]
    lines = [", ".join(f"{name} {_per_cent(s)}" for name, s in shares.items()) for shares in found]
    return [Text(f"The reader, per cent right: {line}.") for line in lines]


def _half_removed(cell: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"{cell['setting']['arm']}: after {cell['num_removed']:,} of "
        f"{cell['setting']['count']:,} are removed"
    )
    _head(table, ("edits",), (*_FIGURES, "as unedited"))
    table.add_row("kept", *_shares(cell["kept"]), "")
    removed = _per_cent(cell["removed_as_unedited"])
    table.add_row("removed", *_shares(cell["removed"]), removed)
    return table


def _lines(by_condition: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    lines = [
        f"{_name(cell)}, saved and loaded: {_per_cent(cell['as_before'])} % of all replies are as "
        "before."
        for cell in by_condition.get("loaded", [])
    ]
    lines += [
        f"{_name(cell)}, added one by one, {1e3 * cell['seconds_each']:.1f} ms each: "
        f"{_per_cent(cell['as_before'])} % of all replies are as when added at once."
        for cell in by_condition.get("one_by_one", [])
    ]
    return lines + [
        f"{_name(cell)}, rolled back: of {cell['num_prompts']:,} prompts, "
        f"{_per_cent(cell['bit_identical'])} % are bit-identical."
        for cell in by_condition.get("rolled_back", [])
    ]


def _name(cell: Mapping[str, Any]) -> str:
    return f"{cell['setting']['arm']}, {cell['setting']['count']:,} edits"


def _calls(cell: Mapping[str, Any]) -> Table:
    count = cell["setting"]["count"]
    model = cell["setting"]["shape"] or "the reader"
    table = Table(
        title=f"ms a call of {model} with {count:,} edits, which are added in "
        f"{cell['seconds']:.1f} s"
    )
    _head(table, ("prompt",), ("with", "without", "ratio"))
    for kind, text in PROMPTS.items():
        costs = cell["calls"][kind]
        times = [f"{1e3 * costs[name]['median']:.2f}" for name in ("with", "without")]
        table.add_row(text, *times, f"{costs['ratio']:.3f}")
    return table


def _goals(goals: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title="Goals of edits as knowledge")
    _head(table, ("goal",), ("wanted", "measured", "met"))
    for goal in goals:
        words, bound = next(
            (words.replace("_", " "), goal[words])
            for words in ("at_least", "at_most")
            if words in goal
        )
        met = "yes" if goal["is_met"] else "no"
        table.add_row(goal["goal"], f"{words} {bound:.3f}", f"{goal['value']:.4f}", met)
    return table


def _head(table: Table, names: Sequence[str], figures: Sequence[str]) -> None:
    for name in names:
        table.add_column(name, style="bold", no_wrap=True)
    for figure in figures:
        table.add_column(figure, justify="right")


def _shares(figures: Mapping[str, Any]) -> list[str]:
    return [
        " / ".join(_per_cent(figures[what].get(name)) for what in ("success", "accuracy"))
        for name in _FIGURES
    ]


def _per_cent(share: float | None) -> str:
    """A share with a digit, and never rounded up to all.

    Example:
        >>> _per_cent(0.1234), _per_cent(0.9999), _per_cent(1.0), _per_cent(None)
        ('12.3', '99.9', '100', '-')
    """
    if share is None:
        return "-"
    return "100" if share == 1 else f"{min(99.9, 100 * share):.1f}"


def _where(cell: Mapping[str, Any]) -> str:
    machine = cell["machine"]
    return (
        f"{machine['device']}, {machine['processor']} ({machine['capability']}), "
        f"{machine['threads']} threads, {gibibytes(machine['memory_bytes'])} GiB; torch "
        f"{machine['torch']}, transformers {machine['transformers']}, peft {machine['peft']}; load "
        f"before {cell['load_average'][0]:.1f}."
    )

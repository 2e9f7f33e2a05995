"""A benchmark for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.calibration import Calibration

__all__ = [
    "benchmark_tables",
    "calibration_table",
    "fraction",
    "gibibytes",
    "hosts_table",
    "search_table",
]


def fraction(ratio: float | None) -> str:
    """A ratio as people say it: a share of one below one, a multiple above.

    Example:
        >>> fraction(0.125), fraction(2.5), fraction(None)
        ('1/8.0', '2.5x', '-')
    """
    if ratio is None:
        return "-"
    return f"{ratio:.1f}x" if ratio >= 1 or ratio <= 0 else f"1/{1 / ratio:.1f}"


def gibibytes(size: float | None) -> str:
    """A number of bytes in GiB.

    Example:
        >>> gibibytes(3 * 2**29), gibibytes(None)
        ('1.50', '-')
    """
    return "-" if size is None else f"{size / 2**30:.2f}"


def benchmark_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``benchmark`` returned.

    Args:
        report: As it was returned, or read back from JSON.
    """
    return Group(_arms(report), "", _goals(report), "", Text(_where(report)))


def hosts_table(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``measure_hosts`` returned."""
    most = report["goal"]["overhead"]
    table = Table(title=f"{report['num_calls']} calls of each, in turn; goal: at most {most:.0%}")
    for heading in ("asked through", "ms a call", "ms more", "overhead"):
        table.add_column(heading, justify="left" if heading == "asked through" else "right")
    for name, call in report["calls"].items():
        row = [name, f"{1e3 * call['seconds']:.1f}"]
        if "overhead" in call:
            row += [f"{1e3 * call['seconds_more']:.2f}", f"{call['overhead']:.1%}"]
        table.add_row(*row)
    return table


def calibration_table(measured: Calibration) -> RenderableType:
    """Lays out what ``calibrate`` measured, and from where on injecting is faster."""
    table = Table(title=f"Milliseconds to the first token, {measured.where}")
    for heading in ("tokens of knowledge", "stuffed", "injected", "from kept states"):
        table.add_column(heading, justify="right")
    rows = zip(measured.tokens, measured.stuffed, measured.injected, measured.kept, strict=True)
    for count, *times in rows:
        table.add_row(str(count), *(f"{1e3 * seconds:.1f}" for seconds in times))

    def since(way: str) -> str:
        count = measured.break_even(way)
        return "no measured amount" if count is None else f"{count} tokens"

    return Group(
        table,
        Text(
            f"As fast as stuffing: injected from {since('injected')} of knowledge on, "
            f"from kept states from {since('kept')}."
        ),
    )


def search_table(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``measure_search`` returned."""
    setting, goal = report["setting"], report["goal"]
    table = Table(
        title=f"{setting['data']} vectors of {setting['vector_size']}, k = {setting['k']}, one of "
        f"{setting['num_questions']} questions at a time; goal: at most "
        f"{1e3 * goal['search_seconds']:.0f} ms with a recall of {goal['recall']:.2f}"
    )
    table.add_column("passages", justify="right")
    table.add_column("search")
    for heading in ("build s", "ms a search", "min-max", "recall", "compared", "GiB"):
        table.add_column(heading, justify="right")
    for size, arms in report["sizes"].items():
        for name, arm in arms.items():
            ms = {key: 1e3 * value for key, value in arm["search_seconds"].items()}
            info = arm["search_info"]
            table.add_row(
                f"{int(size):,}",
                name if info["is_exact"] else f"{info['cells']:,} cells",
                f"{arm['build_seconds']:.1f}",
                f"{ms['median']:.2f}",
                f"{ms['min']:.2f}-{ms['max']:.2f}",
                f"{arm['recall']:.3f}",
                "all" if info["is_exact"] else f"{info['compared_share']:.2%}",
                gibibytes(arm["bytes"]),
            )
    machine = report["machine"]
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['capability']}"
    return Group(table, Text(where))


def _arms(report: Mapping[str, Any]) -> Table:
    setting = report["setting"]
    table = Table(
        title=f"{setting['shape']}, {setting['dtype']}, {setting['batch_size']} x "
        f"{setting['knowledge_tokens']} knowledge + {setting['prompt_tokens']} prompt + "
        f"{setting['answer_tokens']} answer tokens"
    )
    table.add_column("arm", style="bold")
    for heading in (
        "trained weights",
        "seconds a step (min-max)",
        "of LoRA's",
        f"over {report['epochs']} epochs",
        "GiB above the base",
        "of LoRA's",
    ):
        table.add_column(heading, justify="right")
    for name, arm in report["arms"].items():
        ratios = report["ratios"][name]
        if not arm["fits"]:
            needed, there = gibibytes(arm["needed_bytes"]), gibibytes(arm["available_bytes"])
            table.add_row(name, "", f"does not fit: {needed} GiB of {there}", "", "", "", "")
            continue
        table.add_row(
            _named(name, arm["details"]),
            f"{arm['trained_weights']:,}",
            _spread(arm["seconds"]),
            fraction(ratios["seconds"]),
            fraction(ratios["seconds_over_epochs"]),
            gibibytes(arm["peak_bytes"]["median"]),
            fraction(ratios["peak_bytes"]),
        )
        if (dump := arm["dump"]) is not None:
            seconds, size = _spread(dump["seconds"]), gibibytes(dump["peak_bytes"]["median"])
            table.add_row("  its dump, once", "", seconds, "", "", size, "")
    return table


def _goals(report: Mapping[str, Any]) -> Table:
    table = Table(title="Goals, as shares of LoRA's")
    for heading in ("arm", "figure", "at most", "measured", "met"):
        table.add_column(heading)
    words = {True: "yes", False: "no", None: "-"}
    for goal in report["goals"]:
        figure = goal["figure"].replace("_", " ")
        at_most, value = fraction(goal["at_most"]), fraction(goal["value"])
        table.add_row(goal["arm"], figure, at_most, value, words[goal["is_met"]])
    return table


def _named(name: str, details: Mapping[str, Any]) -> str:
    return f"{name}, rank {details['rank']}" if "rank" in details else name


def _spread(seconds: Mapping[str, float]) -> str:
    return f"{seconds['median']:.3f} ({seconds['min']:.3f}-{seconds['max']:.3f})"


def _where(report: Mapping[str, Any]) -> str:
    machine, base = report["machine"], report["base"]
    if machine is None:
        return "Nothing fitted into this machine's memory."
    load = report["load_average"][0]
    return (
        f"{machine['device']}, {machine['processor']} ({machine['capability']}), "
        f"{machine['threads']} threads, {gibibytes(machine['memory_bytes'])} GiB; "
        f"torch {machine['torch']}, transformers {machine['transformers']}, "
        f"peft {machine['peft']}. "
        f"The base model has {base['weights']:,} weights, {gibibytes(base['bytes'])} GiB. "
        f"{report['rounds']} rounds, each arm in a new process; load before them {load:.1f}."
    )

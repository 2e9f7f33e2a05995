"""Reports on records, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.evaluation.tables import percent

__all__ = ["reasoning_table", "records_tables"]

_MEMORY = {
    "cuda": "Memory is what torch held on the device above the weights",
    "resident": "Memory is what the process held in RAM above the weights",
}


def records_tables(report: Mapping[str, Any], title: str) -> RenderableType:
    """Lays out what ``evaluate_records`` returned.

    Args:
        report: As it was returned, or read back from JSON.
        title: What the records are called.
    """
    memory = _MEMORY.get(report["memory_measured_by"])
    timed = f"Times are medians of {report['num_timed']} records asked one by one on "
    notes = [
        "In brackets: 95 % intervals (bootstrap over records).",
        "Kept: of what the stuffed prompt gains in F1 over no passages.",
        f"{timed}{report['device']}." if report["num_timed"] else "",
        f"{memory}, while those were answered at once." if memory and report["num_timed"] else "",
        f"Took {report['seconds']:.0f} s.",
    ]
    text = Text(" ".join(filter(None, notes)))
    tables = (table(report, title) for table in (_quality, _likelihood, _costs, _training))
    return Group(*(part for table in tables for part in (table, "")), text)


def reasoning_table(report: Mapping[str, Any], title: str) -> RenderableType:
    """Lays out what ``evaluate_reasoning`` returned.

    Args:
        report: As it was returned, or read back from JSON.
        title: What the records are called.
    """
    heading = f"{title}: {', '.join(report['labels'])}, {report['num_valid']:,} records"
    table = _table(heading, ["likeliest label (95 %)", "head (95 %)", "head, on its training"])
    for name, arm in report["arms"].items():
        table.add_row(
            name,
            percent(arm["scored"], arm["scored_interval"]),
            percent(arm["head"], arm["head_interval"]),
            percent(arm["head_on_train"]),
        )
    text = (
        f"The commonest label alone gets {percent(report['majority'])}. Heads were trained on "
        f"{report['num_train']:,} records."
    )
    return Group(table, "", Text(text))


def _quality(report: Mapping[str, Any], title: str) -> Table:
    headings = ["exact match (95 %)", "F1 (95 %)", "kept (95 %)"]
    table = _table(f"{title}: {report['num_records']:,} records", headings)
    for name, arm in report["arms"].items():
        kept = report["retention"].get(name, {})
        table.add_row(
            name,
            percent(arm["exact_match"], arm["exact_match_interval"]),
            percent(arm["f1"], arm["f1_interval"]),
            percent(kept.get("f1"), kept.get("f1_interval")),
        )
    return table


def _likelihood(report: Mapping[str, Any], title: str) -> Table:
    headings = ["nats a token (95 %)", "perplexity (95 %)"]
    table = _table(f"{title}: {report['answer_tokens']:,} tokens of the right answers", headings)
    for name, arm in report["arms"].items():
        table.add_row(
            name,
            _number(arm["loss"], arm["loss_interval"]),
            _number(arm["perplexity"], arm["perplexity_interval"]),
        )
    return table


def _costs(report: Mapping[str, Any], title: str) -> Table:
    headings = ["tokens read", "first token", "a question", "memory"]
    table = _table(f"{title}: what an answer costs", headings)
    for name, arm in report["arms"].items():
        table.add_row(
            name,
            f"{arm['prompt_tokens']:.0f}",
            _shown(arm["seconds_to_first_token"], _milliseconds),
            _shown(arm["seconds_per_question"], _milliseconds),
            _shown(arm["peak_memory_bytes"], _mebibytes),
        )
    return table


def _training(report: Mapping[str, Any], title: str) -> Table:
    table = _table(f"{title}: what training cost", ["weights", "seconds", "memory, in all"])
    for name, arm in report["arms"].items():
        table.add_row(
            name,
            f"{arm['trainable_weights']:,}",
            _shown(arm["training_seconds"], lambda value: f"{value:,.0f}"),
            _shown(arm["training_peak_memory_bytes"], _mebibytes),
        )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title)
    table.add_column("arm", style="bold", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _shown(value: float | None, as_text: Callable[[float], str]) -> str:
    return "-" if value is None else as_text(value)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _mebibytes(num_bytes: float) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"


def _number(value: float | None, interval: Sequence[float | None] | None) -> str:
    ends = [_shown(end, lambda value: f"{value:,.3f}") for end in interval or ()]
    return _shown(value, lambda value: f"{value:,.3f}") + (f" ({'-'.join(ends)})" if ends else "")

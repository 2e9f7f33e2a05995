"""A report for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["percent", "report_tables"]


def percent(share: float | None, interval: list[float] | None = None) -> str:
    """A share, and perhaps its interval, in per cent.

    Example:
        >>> percent(0.951), percent(0.5, [0.4, 0.61]), percent(None)
        ('95.1 %', '50.0 % (40.0-61.0)', '-')
    """
    if share is None:
        return "-"
    ends = f" ({interval[0]:.1%}-{interval[1]:.1%})".replace("%", "") if interval else ""
    return f"{share * 100:.1f} %{ends}"


def report_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``evaluate`` returned.

    Args:
        report: As it was returned, or read back from JSON.
    """
    parts: list[RenderableType] = [_arms(report), ""]
    titles = {
        "by_passages": "By number of passages",
        "by_answer_length": "By tokens in the answer",
    }
    splits = {title: report[key] for key, title in titles.items()}
    if report["heldout_wordings"]:
        splits["Wordings kept out of training"] = {"": report["heldout_wordings"]}
    for title, split in splits.items():
        if split:
            parts += [_split(title, split), ""]
    weights, recall = report["weights"], report["retrieval"]["recall_at_k"]
    parts.append(
        Text(
            f"The right passage was among the {report['k']} found for {percent(recall)} of the "
            f"answerable questions, out of {report['num_documents']:,} documents. "
            f"Encoders: {weights['encoders']:,} weights, {percent(weights['share'])} of the "
            f"reader's {weights['reader']:,}. Took {report['seconds']:.0f} s."
        )
    )
    return Group(*parts)


def _arms(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"World {report['seed']}, {report['num_questions']:,} questions")
    table.add_column("arm", style="bold")
    for heading in (
        "exact match",
        "when retrieved (95 %)",
        "refusals right",
        "wrong refusals",
        "tokens read",
        "first token",
    ):
        table.add_column(heading, justify="right")
    for name, arm in report["arms"].items():
        tokens, seconds = arm["prompt_tokens"], arm["seconds_to_first_token"]
        table.add_row(
            name,
            percent(arm["exact_match"]),
            percent(arm["exact_match_retrieved"], arm["exact_match_retrieved_interval"]),
            percent(arm["refusals_right"]),
            percent(arm["wrong_refusals"]),
            "-" if tokens is None else f"{tokens:.0f}",
            "-" if seconds is None else f"{seconds * 1000:.1f} ms",
        )
    return table


def _split(title: str, split: Mapping[str, Any]) -> Table:
    """Exact match when retrieved, one row for each arm and one column for each key."""
    table = Table(title=f"{title}: exact match when retrieved")
    table.add_column("arm", style="bold")
    arms: dict[str, list[str]] = {}
    for key, summaries in split.items():
        counts = {summary["n_retrieved"] for summary in summaries.values()}
        table.add_column(f"{key} (n={max(counts)})".strip(), justify="right")
        for name, summary in summaries.items():
            arms.setdefault(name, []).append(percent(summary["exact_match_retrieved"]))
    for name, cells in arms.items():
        table.add_row(name, *cells)
    return table

"""The benchmark of indexing for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.bench.answering.tables import where_measured
from diekae_rag.bench.stopwatch import OTHER
from diekae_rag.files import STATES_FILE

__all__ = ["index_bars", "index_tables"]

_NAMES = {
    "embed": "embed",
    "add": "add to FAISS and SQLite",
    "save": "save",
    "open": "open, hash the encoders",
    "tokenize": "tokenize",
    "encode": "encoders read",
    "write": "write states",
    OTHER: OTHER,
}


def index_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``diekae bench index`` measured.

    Args:
        report: As ``measure_cells`` returned it, or read back from JSON.
    """
    parts: list[RenderableType] = []
    for cell in report["cells"]:
        parts += [_speeds(cell), _sizes(cell), Text(where_measured(cell)), ""]
    return Group(*parts)


def index_bars(report: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Of every setting, what is drawn: index and states as seconds in parts."""
    bars = {}
    for cell in report["cells"]:
        rows = {"index": cell["index"], **{f"states, {k}": v for k, v in cell["states"].items()}}
        bars[_title(cell)] = {
            row: {_NAMES[part]: found["median"] for part, found in one["parts"].items()}
            for row, one in rows.items()
        }
    return bars


def _title(cell: Mapping[str, Any]) -> str:
    setting = cell["setting"]
    return (
        f"{setting['model'] or setting['shape']}, {setting['num_passages']:,} passages of "
        f"{setting['passage_tokens']} tokens, embedder {setting['embedder']}"
    )


def _speeds(cell: Mapping[str, Any]) -> Table:
    table = Table(title=_title(cell), caption="Tokens are those that encoders read.")
    table.add_column("part", no_wrap=True)
    for heading in ("seconds", "min-max", "passages/s", "tokens/s"):
        table.add_column(heading, justify="right")
    count, tokens = cell["setting"]["num_passages"], cell["knowledge_tokens"]

    def add(
        name: str, found: Mapping[str, float], count: int = count, tokens: int = tokens
    ) -> None:
        median = max(found["median"], 1e-9)
        table.add_row(
            name,
            f"{found['median']:.3f}",
            f"{found['min']:.3f}-{found['max']:.3f}",
            f"{count / median:,.1f}",
            f"{tokens / median:,.0f}",
        )

    add("[bold]index, all[/]", cell["index"]["seconds"])
    for part, found in cell["index"]["parts"].items():
        add(f"  {_NAMES[part]}", found)
    for dtype, states in cell["states"].items():
        add(f"[bold]states, {_named(dtype, states)}, all[/]", states["seconds"])
        for part, found in states["parts"].items():
            add(f"  {_NAMES[part]}", found)
        add("  opened again, all", states["reopen"]["seconds"])
    cache = cell["prefix_cache"]
    num_cached = min(count, round(cache["tokens"] * count / tokens))
    add("base model, for a prefix cache", cache["seconds"], num_cached, cache["tokens"])
    return table


def _sizes(cell: Mapping[str, Any]) -> Table:
    table = Table(caption="Stuffed without a prefix cache, only text and vectors are kept.")
    table.add_column("kept", no_wrap=True)
    for heading in ("MiB", "bytes of a passage's token"):
        table.add_column(heading, justify="right")
    tokens = cell["knowledge_tokens"]

    def add(name: str, size: int, tokens: int = tokens) -> None:
        table.add_row(name, f"{size / 2**20:.2f}", f"{size / tokens:,.1f}")

    for file, size in cell["index"]["bytes"].items():
        add(file, size)
    for dtype, states in cell["states"].items():
        add(f"{STATES_FILE}, {_named(dtype, states)}", states["bytes"])
    cache = cell["prefix_cache"]
    add("a prefix cache, of as many", round(cache["bytes"] * tokens / cache["tokens"]))
    return table


def _named(dtype: str, states: Mapping[str, Any]) -> str:
    return dtype if dtype == states["dtype"] else f"{dtype} ({states['dtype']})"

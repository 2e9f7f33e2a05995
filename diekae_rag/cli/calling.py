"""``diekae bench rag``: what a whole call costs, from a question to the first token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from diekae_rag.cli.bench_options import (
    AGAIN,
    BenchModel,
    Device,
    DeviceName,
    Dtype,
    Embedder,
    Layers,
    Output,
    Quick,
    Shape,
    Sharing,
    model_fields,
    plot_beside,
)
from diekae_rag.cli.console import quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

__all__ = ["bench_rag"]


@reports_mistakes
def bench_rag(
    shape: Shape = None,
    model: BenchModel = "",
    index_size: Annotated[
        list[int] | None, typer.Option(min=1, help=f"Passages in the index; else 10,000; {AGAIN}")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", min=1, help=f"Passages found; else 4; {AGAIN}")
    ] = None,
    passage_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"In each; else 256; {AGAIN}")
    ] = None,
    question_tokens: Annotated[int, typer.Option(min=1, help="In each question.")] = 32,
    embedder: Embedder = "minilm",
    rounds: Annotated[int, typer.Option(min=1, help="Questions, asked each way.")] = 7,
    quick: Quick = False,
    dtype: Dtype = None,
    device: Device = DeviceName.auto,
    layer: Layers = None,
    sharing: Sharing = "separate",
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure whole calls: a question embedded, passages found and read, the first token.

    Nothing retrieved, stuffed, injected and injected from kept states, each question each way, with
    every part's share. Everything runs in this process. Close what else is running first.
    """
    quiet_libraries()
    from diekae_rag.bench.calling.measuring import measure_calls
    from diekae_rag.bench.calling.setting import CallSetting, call_grid
    from diekae_rag.bench.calling.tables import call_tables
    from diekae_rag.bench.cells import measure_cells
    from diekae_rag.progress import progress_bars

    fields = model_fields(shape, model, dtype, device, layer, sharing, quick=quick)
    setting = CallSetting(
        question_tokens=question_tokens, rounds=rounds, embedder=embedder, **fields
    )
    sizes = index_size or [1_000 if quick else 10_000]
    settings = call_grid(setting, sizes, k or [4], passage_tokens or [128 if quick else 256])
    with progress_bars(not as_json) as progress:
        task = progress.add_task("settings", total=len(settings))
        report = measure_cells(
            settings,
            measure_calls,
            format="rag 1",
            output=output,
            on_step=lambda done, total, step: progress.update(
                task, completed=done, total=total, description=step
            ),
        )
    if output is not None:
        plot_beside(output, _save, report)
    if as_json:
        show_json(report)
    else:
        show(call_tables(report))


def _save(report: Mapping[str, Any], path: Path) -> Path:
    from diekae_rag.bench.calling.tables import call_bars
    from diekae_rag.bench.stacked import save_stacked_plot

    return save_stacked_plot(call_bars(report), path)

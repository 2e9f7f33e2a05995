"""``diekae bench index``: what building an index and keeping its passages' states costs."""

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

__all__ = ["bench_index"]


@reports_mistakes
def bench_index(
    shape: Shape = None,
    model: BenchModel = "",
    passages: Annotated[
        list[int] | None, typer.Option(min=1, help=f"How many; else 256; {AGAIN}")
    ] = None,
    passage_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"In each; else 256; {AGAIN}")
    ] = None,
    state_dtype: Annotated[
        list[str] | None,
        typer.Option(help=f"own (the encoders'), bfloat16, int8, ...; else those three; {AGAIN}"),
    ] = None,
    embedder: Embedder = "minilm",
    rounds: Annotated[int, typer.Option(min=1, help="Times that all is built anew.")] = 3,
    quick: Quick = False,
    dtype: Dtype = None,
    device: Device = DeviceName.auto,
    layer: Layers = None,
    sharing: Sharing = "separate",
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure building an index with its passages' states, part by part, and opening it again.

    Everything runs in this process, round after round. Close what else is running first.
    """
    quiet_libraries()
    from diekae_rag.bench.cells import measure_cells
    from diekae_rag.bench.indexing.measuring import measure_index
    from diekae_rag.bench.indexing.setting import IndexSetting, index_grid
    from diekae_rag.bench.indexing.tables import index_tables
    from diekae_rag.progress import progress_bars

    fields = model_fields(shape, model, dtype, device, layer, sharing, quick=quick)
    if state_dtype:
        fields["state_dtypes"] = tuple(state_dtype)
    setting = IndexSetting(rounds=rounds, embedder=embedder, **fields)
    settings = index_grid(
        setting, passages or [64 if quick else 256], passage_tokens or [128 if quick else 256]
    )
    with progress_bars(not as_json) as progress:
        task = progress.add_task("settings", total=len(settings))
        report = measure_cells(
            settings,
            measure_index,
            format="index 1",
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
        show(index_tables(report))


def _save(report: Mapping[str, Any], path: Path) -> Path:
    from diekae_rag.bench.indexing.tables import index_bars
    from diekae_rag.bench.stacked import save_stacked_plot

    return save_stacked_plot(index_bars(report), path)

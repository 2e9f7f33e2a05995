"""``diekae bench answer``: what an answer costs, injected, stuffed and with nothing read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diekae_rag.cli.bench_options import (
    AGAIN,
    BenchModel,
    Device,
    DeviceName,
    Dtype,
    Layers,
    Output,
    Shape,
    Sharing,
    model_fields,
    plot_beside,
)
from diekae_rag.cli.console import show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

if TYPE_CHECKING:
    from diekae_rag.bench.answering.setting import AnswerSetting

__all__ = ["answer"]


@reports_mistakes
def answer(
    shape: Shape = None,
    model: BenchModel = "",
    knowledge_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"Of passages for each prompt; {AGAIN}")
    ] = None,
    passages: Annotated[
        list[int] | None,
        typer.Option(min=1, help=f"How many they make; else as many of 512 as it takes; {AGAIN}"),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(min=1, help=f"Prompts answered at once; {AGAIN}")
    ] = None,
    new_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"In each answer, exactly; {AGAIN}")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="In each prompt.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each arm is timed.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small shape and two lengths: two minutes.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every length, batch and answer: hours.")
    ] = False,
    dtype: Dtype = None,
    device: Device = DeviceName.auto,
    layer: Layers = None,
    sharing: Sharing = "separate",
    positions: Annotated[
        str, typer.Option(help="Where a shape's encoders inject: at the prompt, or at all.")
    ] = "prompt",
    memory: Annotated[
        str,
        typer.Option(help="Of an arm: apart, in a process of its own, or together; --quick: that."),
    ] = "apart",
    arm: Annotated[list[str] | None, typer.Option(help=f"Only this arm; {AGAIN}")] = None,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Measure the time and memory of an answer: injected, stuffed, with nothing read.

    Each setting is timed in a process of its own, its arms in turn, round after round. Close what
    else is running first.
    """
    from diekae_rag.bench.answering.report import ARM_NAMES, benchmark_answers
    from diekae_rag.bench.answering.setting import AnswerSetting
    from diekae_rag.bench.answering.tables import answer_tables
    from diekae_rag.progress import progress_bars

    setting = AnswerSetting(
        prompt_tokens=prompt_tokens,
        rounds=rounds,
        positions=positions,
        memory=memory,
        **model_fields(shape, model, dtype, device, layer, sharing, quick=quick),
    )
    lists = {
        "knowledge_tokens": knowledge_tokens,
        "batch_sizes": batch_size,
        "new_tokens": new_tokens,
        "passages": passages,
    }
    settings = _settings(setting, {k: v for k, v in lists.items() if v}, quick, full)
    with progress_bars(not as_json) as progress:
        task = progress.add_task("settings", total=len(settings))
        report = benchmark_answers(
            settings,
            arms=arm or ARM_NAMES,
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
        show(answer_tables(report))


def _settings(
    setting: AnswerSetting, lists: dict[str, list[int]], quick: bool, full: bool
) -> list[AnswerSetting]:
    """The grid that was asked for.

    Raises:
        ValueError: Two grids were.
    """
    from diekae_rag.bench.answering.setting import default_grid, full_grid, grid, quick_grid

    if quick + full + bool(lists) > 1:
        raise ValueError(
            "--quick, --full, and lengths of your own are each a grid of settings; choose one."
        )
    if lists:
        return grid(setting, **{"knowledge_tokens": [1024], **lists})
    if quick:
        return quick_grid(setting)
    return full_grid(setting) if full else default_grid(setting)


def _save(report: Mapping[str, Any], path: Path) -> Path:
    from diekae_rag.bench.answering.plots import save_answer_plot

    return save_answer_plot(report, path)

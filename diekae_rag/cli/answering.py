"""``diekae bench answer``: what an answer costs, injected, stuffed and with nothing read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diekae_rag.cli.benching import DeviceName, DtypeName, ShapeName
from diekae_rag.cli.console import note, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

if TYPE_CHECKING:
    from diekae_rag.bench.answering.setting import AnswerSetting

__all__ = ["answer"]

_AGAIN = "may be given again."


@reports_mistakes
def answer(
    shape: Annotated[
        ShapeName | None,
        typer.Option(help="The base model, with random weights; else llama-1.1b."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Instead, encoders with their base model: a folder, a hub id, demo.")
    ] = "",
    knowledge_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"Of passages for each prompt; {_AGAIN}")
    ] = None,
    passages: Annotated[
        list[int] | None,
        typer.Option(min=1, help=f"How many they make; else as many of 512 as it takes; {_AGAIN}"),
    ] = None,
    batch_size: Annotated[
        list[int] | None, typer.Option(min=1, help=f"Prompts answered at once; {_AGAIN}")
    ] = None,
    new_tokens: Annotated[
        list[int] | None, typer.Option(min=1, help=f"In each answer, exactly; {_AGAIN}")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="In each prompt.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each arm is timed.")] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small shape and two lengths: two minutes.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Every length, batch and answer: hours.")
    ] = False,
    dtype: Annotated[
        DtypeName | None, typer.Option(help="Precision; else bfloat16, of tiny float32.")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where to measure.")] = DeviceName.auto,
    layer: Annotated[
        list[int] | None,
        typer.Option(min=0, help=f"A layer of a shape to inject into; {_AGAIN}"),
    ] = None,
    sharing: Annotated[
        str, typer.Option(help="Of a shape's encoders: separate, or shared, one trunk for all.")
    ] = "separate",
    positions: Annotated[
        str, typer.Option(help="Where a shape's encoders inject: at the prompt, or at all.")
    ] = "prompt",
    memory: Annotated[
        str,
        typer.Option(help="Of an arm: apart, in a process of its own, or together; --quick: that."),
    ] = "apart",
    arm: Annotated[list[str] | None, typer.Option(help=f"Only this arm; {_AGAIN}")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="A JSON file, written after each setting: the same command goes on from it. A "
            "plot goes beside it.",
        ),
    ] = None,
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

    if model:
        from diekae_rag.locations import locate

        if shape or layer:
            raise ValueError("--model brings its own shape and layers; leave those options out.")
        locate(model)
    named = shape or (ShapeName.llama_160m if quick else ShapeName.llama_1b)
    setting = AnswerSetting(
        shape=named.value,
        model=model,
        prompt_tokens=prompt_tokens,
        rounds=rounds,
        dtype=dtype.value if dtype else "auto",
        device=device.value,
        layers=tuple(layer or ()),
        sharing=sharing,
        positions=positions,
        memory=memory,
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
        _plot(report, output.with_suffix(".png"))
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


def _plot(report: dict[str, Any], path: Path) -> None:
    try:
        from diekae_rag.bench.answering.plots import save_answer_plot
    except ImportError as error:
        note("no plot", str(error))
        return
    note("plot", str(save_answer_plot(report, path)), "cyan")

"""``diekae bench``: what it costs, side by side with what would otherwise be done."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diekae_rag.cli.bench_options import AGAIN, Device, DeviceName, DtypeName, ShapeName
from diekae_rag.cli.console import note, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, K, ModelName

__all__ = ["bench_app"]

bench_app = typer.Typer(
    help="Measure what training and answering cost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


class DataName(StrEnum):
    """How vectors lie: ``diekae_rag.bench.search.draw_vectors``."""

    clustered = "clustered"
    overlapping = "overlapping"
    uniform = "uniform"


@bench_app.callback()
def _bench() -> None:
    """Measure what it costs, side by side with what would otherwise be done."""


@bench_app.command()
@reports_mistakes
def train(
    shape: Annotated[
        ShapeName, typer.Option(help="The base model, with random weights.")
    ] = ShapeName.llama_1b,
    knowledge_tokens: Annotated[int, typer.Option(min=1, help="Before each prompt.")] = 512,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="In each prompt.")] = 32,
    answer_tokens: Annotated[int, typer.Option(min=1, help="In each answer.")] = 16,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows in a step.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of an arm in a round.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each arm is measured.")] = 3,
    dtype: Annotated[DtypeName, typer.Option(help="Precision.")] = DtypeName.bfloat16,
    device: Device = DeviceName.auto,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            help="A layer to inject into; may be given again. Else at the paper's share of the "
            "depth, 3 to 8 of 32.",
        ),
    ] = None,
    arm: Annotated[list[str] | None, typer.Option(help=f"Only this arm; {AGAIN}")] = None,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="For LoRA and full: less memory, more time."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the time and memory of a training step: distillation, LoRA, all weights.

    Each arm is measured in a process of its own, one after the other, round after round. Close
    what else is running first.
    """
    from diekae_rag.bench.report import ARM_NAMES, benchmark
    from diekae_rag.bench.setting import Setting
    from diekae_rag.bench.tables import benchmark_tables

    setting = Setting(
        shape=shape.value,
        knowledge_tokens=knowledge_tokens,
        prompt_tokens=prompt_tokens,
        answer_tokens=answer_tokens,
        batch_size=batch_size,
        steps=steps,
        dtype=dtype.value,
        device=device.value,
        layers=tuple(layer or ()),
        gradient_checkpointing=gradient_checkpointing,
    )
    report = benchmark(
        setting,
        arms=arm or ARM_NAMES,
        rounds=rounds,
        on_step=lambda step: note("bench", step, "cyan"),
    )
    if as_json:
        show_json(report)
    else:
        show(benchmark_tables(report))


@bench_app.command()
@reports_mistakes
def calibrate(
    model: ModelName = "demo",
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is timed.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure once where injecting is faster than stuffing on this device, for mode "auto"."""
    quiet_libraries()
    from dataclasses import asdict

    from diekae_rag.bench.tables import calibration_table
    from diekae_rag.calibrating import calibration_file
    from diekae_rag.model import DiekaeModel

    loaded = DiekaeModel.from_pretrained(model)
    measured = loaded.calibrate(rounds=rounds, show_progress=True)
    kept_at = calibration_file(loaded)
    if as_json:
        ways = {way: measured.break_even(way) for way in ("injected", "kept")}
        show_json({**asdict(measured), "break_even": ways, "file": str(kept_at)})
        return
    show(calibration_table(measured))
    note("kept", str(kept_at), "dim")


@bench_app.command()
@reports_mistakes
def hosts(
    questions: Annotated[int, typer.Option(min=1, help="How many questions to ask.")] = 100,
    documents: Annotated[int, typer.Option(min=1, help="Size of the invented world.")] = 2000,
    k: K = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each is asked.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the invented world.")] = 1,
    model: ModelName = "demo",
    as_json: AsJson = False,
) -> None:
    """Measure what LangChain's and LlamaIndex's classes cost over calling the model directly."""
    quiet_libraries()
    from diekae_rag.bench.hosts import measure_hosts
    from diekae_rag.bench.tables import hosts_table
    from diekae_rag.model import DiekaeModel

    report = measure_hosts(
        DiekaeModel.from_pretrained(model),
        seed=seed,
        num_questions=questions,
        num_documents=documents,
        k=k,
        rounds=rounds,
    )
    if as_json:
        show_json(report)
    else:
        show(hosts_table(report))


@bench_app.command()
@reports_mistakes
def search(
    sizes: Annotated[
        str, typer.Option(help="Passages in each index, with commas between.")
    ] = "10000,100000,1000000",
    data: Annotated[
        DataName,
        typer.Option(help="Around centres, as embeddings are, far or close, or no structure."),
    ] = DataName.clustered,
    vector_size: Annotated[int, typer.Option(min=1, help="Numbers in a vector.")] = 384,
    k: K = 5,
    questions: Annotated[int, typer.Option(min=1, help="How many to ask, one by one.")] = 100,
    exact_up_to: Annotated[
        int, typer.Option(min=0, help="Up to how many passages all are compared.")
    ] = 200_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the report here as JSON; what is in it is not measured again."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what finding passages costs: time, recall and memory, by the size of the index.

    A million passages of 384 numbers need about 5 GiB of memory, and some minutes.
    """
    from diekae_rag.bench.search import measure_search
    from diekae_rag.bench.tables import search_table

    try:
        counts = [int(size) for size in sizes.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{sizes!r} is not numbers with commas between") from None
    if min(counts) < 1:
        raise typer.BadParameter("an index needs 1 passage or more")
    report = measure_search(
        counts,
        data=data.value,
        vector_size=vector_size,
        k=k,
        num_questions=questions,
        exact_up_to=exact_up_to,
        seed=seed,
        output=output,
    )
    if as_json:
        show_json(report)
    else:
        show(search_table(report))

"""``diekae train``: encoders for any base model, from a user's own records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from diekae_rag.cli.console import note, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

__all__ = ["train"]

_STAGES = "warmup,distill,finetune"


@reports_mistakes
def train(
    folder: Annotated[Path, typer.Argument(help="Where the run is kept, and goes on from.")],
    plan: Annotated[
        Path | None, typer.Option(help="A TOML file with the fields of TrainingPlan.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="The base model: a folder or hub id.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Records: .jsonl, .jsonl.gz, .csv, .parquet; may be given again."),
    ] = None,
    valid: Annotated[
        list[Path] | None, typer.Option(help="Records kept out of training, to choose by.")
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            help="In order: warmup, distill, differences, finetune; lora and full to compare with. "
            f"[default: {_STAGES}]",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Of each stage.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of each stage, instead of epochs.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of each stage; one that suits it when not given.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Encoders as recommended, or as the paper's.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="Decoder layers to inject into: 3-8, or 0,4,7.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(help="A field of DiekaeConfig: --field hidden_size=256; may be given again."),
    ] = None,
    initial: Annotated[
        str | None, typer.Option(help="Encoders to begin with, instead of random ones.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows in a batch, each process.")] = None,
    gradient_accumulation_steps: Annotated[
        int | None, typer.Option("--accumulate", help="Batches that make one step.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="muon or adamw.")] = None,
    precision: Annotated[str | None, typer.Option(help="bf16, fp16 or no.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the base model's weights.")] = None,
    quantization: Annotated[str | None, typer.Option(help="8bit or 4bit, of the base.")] = None,
    device_map: Annotated[str | None, typer.Option(help="Such as auto, of the base.")] = None,
    targets: Annotated[
        str | None,
        typer.Option(help="A folder for distillation's targets: the base then runs only once."),
    ] = None,
    on_policy: Annotated[
        bool, typer.Option("--on-policy", help="Differences to the injected stream.")
    ] = False,
    patience: Annotated[
        int | None, typer.Option(help="Evaluations without a better one before a stage stops.")
    ] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps.")] = None,
    num_checkpoints: Annotated[int | None, typer.Option(help="How many are kept.")] = None,
    log_with: Annotated[
        list[str] | None, typer.Option(help="tensorboard, wandb, ...; may be given again.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the run repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train encoders for a base model, which stays as it is; a stopped run goes on.

    Begun once, a run needs no options any more: diekae train FOLDER. On several devices:
    accelerate launch -m diekae_rag train FOLDER ...
    """
    quiet_libraries()
    from diekae_rag.training.launching import end_process, leave_processes
    from diekae_rag.training.plan import TrainingPlan, read_plan
    from diekae_rag.training.run import run_plan

    given: dict[str, Any] = {
        "base": base,
        "data": data and [str(path) for path in data],
        "valid": valid and [str(path) for path in valid],
        "preset": preset,
        "initial": initial,
        "batch_size": batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps,
        "optimizer": optimizer,
        "precision": precision,
        "dtype": dtype,
        "quantization": quantization,
        "device_map": device_map,
        "targets": targets,
        "patience": patience,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
        "num_checkpoints": num_checkpoints,
        "log_with": log_with,
        "seed": seed,
    }
    given = {name: value for name, value in given.items() if value is not None}
    chosen = _stages(stages, epochs, steps, learning_rate, on_policy)
    encoders = _fields(layers, field)
    begun = folder / "plan.json"
    if plan is None and base is None and begun.exists():
        values = read_plan(begun).to_dict()
    else:
        values = {} if plan is None else read_plan(plan).to_dict()
    values |= given
    if chosen is not None:
        values["stages"] = chosen
    if encoders:
        values["encoders"] = {**values.get("encoders", {}), **encoders}
    try:
        seconds = run_plan(TrainingPlan.from_dict(values), folder)
    finally:
        leave_processes()
    if as_json:
        show_json({"folder": str(folder), "seconds": seconds})
    else:
        _tell(folder, seconds)
    end_process()


def _tell(folder: Path, seconds: Mapping[str, float]) -> None:
    for name, spent in seconds.items():
        show(f"{name}: {spent / 60:.1f} minutes")
    if (folder / "encoders").exists():
        show(f"Encoders: {folder / 'encoders'}. Measure: diekae eval --model {folder / 'encoders'} "
             "--data FILE")  # fmt: skip
    note("run", f"plan, data, environment, losses and model card are in {folder}", "cyan")


def _stages(
    names: str | None,
    epochs: float | None,
    steps: int | None,
    learning_rate: float | None,
    on_policy: bool,
) -> list[dict[str, Any]] | None:
    """The stages as a plan has them; nothing where no option is about them."""
    options = {"epochs": epochs, "num_steps": steps, "learning_rate": learning_rate}
    options = {name: value for name, value in options.items() if value is not None}
    if names is None and not options and not on_policy:
        return None
    chosen = [name.strip() for name in (names or _STAGES).split(",")]
    if on_policy and "differences" not in chosen:
        raise ValueError("--on-policy belongs to the stage differences, which is not among them.")
    return [
        {"name": name, **options, "is_on_policy": on_policy and name == "differences"}
        for name in chosen
    ]


def _fields(layers: str | None, fields: list[str] | None) -> dict[str, Any]:
    """Fields of ``DiekaeConfig``; values as JSON where they are, and as texts otherwise."""
    chosen: dict[str, Any] = {}
    for text in fields or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"--field takes NAME=VALUE, got {text!r}.")
        try:
            chosen[name] = json.loads(value)
        except ValueError:
            chosen[name] = value
    if layers is not None:
        chosen["layers"] = _numbers(layers)
    return chosen


def _numbers(text: str) -> list[int]:
    """Reads ``3-8`` and ``0,4,7``."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            numbers += range(int(first), int(last or first) + 1)
        except ValueError:
            raise ValueError(f"--layers takes 3-8 or 0,4,7; got {text!r}.") from None
    return numbers

"""What a training run is to do: everything that a user chooses, in one value."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from diekae_rag.training.schedule import OptimizerName, Schedule

__all__ = ["BASELINES", "STAGES", "StagePlan", "TrainingPlan", "read_plan"]

STAGES = ("warmup", "distill", "differences", "finetune")
BASELINES = ("lora", "full")
_RATES = {
    "warmup": 2e-3, "distill": 5e-4, "differences": 5e-4, "finetune": 5e-4,
    "lora": 5e-4, "full": 2e-5,
}  # fmt: skip
_UNREADABLE = (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError)
_CHOICES = {
    "preset": ("recommended", "paper"),
    "precision": ("no", "bf16", "fp16"),
    "dtype": ("auto", "float32", "bfloat16", "float16"),
    "quantization": (None, "8bit", "4bit"),
    "optimizer": get_args(OptimizerName),
}
_AT_LEAST_ONE = (
    "batch_size", "questions_per_row", "gradient_accumulation_steps", "evaluate_every",
    "checkpoint_every", "num_checkpoints",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage.

    Args:
        name: ``warmup``, ``distill``, ``differences`` or ``finetune``, or a baseline: ``lora`` or
            ``full``, which train the base model itself with the passages in its prompt.
        epochs: How often each record is seen.
        num_steps: Steps, instead of epochs.
        learning_rate: Peak rate; one that suits the stage when not given.
        warmup_steps: Steps up to it; a twentieth of all, at most 100, when not given.
        is_on_policy: Only for ``differences``.

    Raises:
        ValueError: A stage that does not exist, or a number that makes no sense.
    """

    name: str
    epochs: float = 1.0
    num_steps: int | None = None
    learning_rate: float | None = None
    warmup_steps: int | None = None
    is_on_policy: bool = False

    def __post_init__(self) -> None:
        if self.name not in (*STAGES, *BASELINES):
            raise ValueError(
                f"there is no stage {self.name!r}; there are {', '.join((*STAGES, *BASELINES))}."
            )
        if not self.epochs > 0:
            raise ValueError(f"{self.name}: epochs must be above 0, got {self.epochs}.")
        if self.is_on_policy and self.name != "differences":
            raise ValueError(f"is_on_policy belongs to differences, not to {self.name}.")

    def schedule(self, batches_per_epoch: int, plan: TrainingPlan, world: int = 1) -> Schedule:
        """Steps and rates, for so many batches an epoch and so many processes."""
        batches = plan.gradient_accumulation_steps * world
        steps = self.num_steps or max(1, math.ceil(self.epochs * batches_per_epoch / batches))
        warmup = min(100, steps // 20) if self.warmup_steps is None else self.warmup_steps
        return Schedule(
            steps,
            self.learning_rate or _RATES[self.name],
            warmup,
            optimizer="adamw" if self.name in BASELINES else plan.optimizer,
            gradient_accumulation_steps=plan.gradient_accumulation_steps,
        )


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run.

    Args:
        base: The base model: a folder or hub id.
        data: Files of records; see ``read_records``.
        valid: Files of records that are not trained on.
        stages: In order.
        preset: Where the encoders' config starts: ``"recommended"``: shared trunk, independent
            passages read in both directions, deltas at every position, and layers up to the last;
            ``"paper"``: the defaults of ``DiekaeConfig``.
        encoders: Fields of ``DiekaeConfig`` that differ from the preset.
        initial: Encoders to begin with, instead of random ones.
        batch_size: Rows in a batch, for each process.
        questions_per_row: Most questions about the same passages in one row.
        gradient_accumulation_steps: Batches whose gradients make one step.
        optimizer: Of the encoders; baselines take AdamW.
        precision: accelerate's mixed precision.
        dtype: Of the base model's weights in memory.
        quantization: Load the base model in ``"8bit"`` or ``"4bit"``; needs bitsandbytes.
        device_map: accelerate's map of a base model that is spread out, as ``"auto"``.
        targets: A folder for distillation's targets: dumped there first, where they are not yet,
            and then read instead of the base model.
        evaluate_every: Steps between evaluations on ``valid``.
        patience: Evaluations without a better one before a stage stops.
        checkpoint_every: Steps between checkpoints.
        num_checkpoints: How many are kept.
        log_with: accelerate's trackers, such as ``tensorboard`` or ``wandb``.
        is_compiled: Compile what is trained.
        seed: Of all chance.

    Raises:
        ValueError: A choice that does not exist, or a number that makes no sense.
    """

    base: str
    data: tuple[str, ...]
    valid: tuple[str, ...] = ()
    stages: tuple[StagePlan, ...] = (
        StagePlan("warmup"), StagePlan("distill"), StagePlan("finetune"),
    )  # fmt: skip
    preset: str = "recommended"
    encoders: Mapping[str, Any] = field(default_factory=dict)
    initial: str | None = None
    batch_size: int = 16
    questions_per_row: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: OptimizerName = "muon"
    precision: str = "bf16"
    dtype: str = "auto"
    quantization: str | None = None
    device_map: str | None = None
    targets: str | None = None
    evaluate_every: int = 200
    patience: int | None = None
    checkpoint_every: int = 200
    num_checkpoints: int = 1
    log_with: tuple[str, ...] = ()
    is_compiled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                shown = ", ".join(str(c) for c in choices if c is not None)
                raise ValueError(f"{name} must be one of {shown}; got {getattr(self, name)!r}.")
        for name in _AT_LEAST_ONE:
            if type(value := getattr(self, name)) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if not self.data or not self.stages:
            raise ValueError("a run needs at least one file of records and one stage.")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"each stage can be named once, got {', '.join(names)}.")
        if self.patience is not None and not self.valid:
            raise ValueError("patience needs valid: records to stop by that are not trained on.")

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        values = {**asdict(self), "encoders": dict(self.encoders)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingPlan:
        """Reads a plan; a stage may be its name alone.

        Raises:
            ValueError: A field that does not exist, or one that is missing.

        Example:
            >>> plan = TrainingPlan.from_dict(
            ...     {"base": "owner/model", "data": ["train.jsonl"], "stages": ["warmup"]}
            ... )
            >>> plan.stages[0].epochs, TrainingPlan.from_dict(plan.to_dict()) == plan
            (1.0, True)
        """
        given = dict(values)
        if unknown := sorted(set(given) - {f.name for f in fields(cls)}):
            raise ValueError(f"a plan has no {unknown[0]!r}; see TrainingPlan for its fields.")
        for name in ("base", "data"):
            if not given.get(name):
                raise ValueError(f"a plan needs {name!r}.")
        stages = given.pop("stages", None)
        for name in ("data", "valid", "log_with"):
            if isinstance(given.get(name), str):
                given[name] = [given[name]]
            if name in given:
                given[name] = tuple(given[name])
        if stages is not None:
            given["stages"] = tuple(_stage(stage) for stage in stages)
        return cls(**given)


def _stage(value: Any) -> StagePlan:
    if isinstance(value, str):
        return StagePlan(value)
    if unknown := sorted(set(value) - {f.name for f in fields(StagePlan)}):
        raise ValueError(f"a stage has no {unknown[0]!r}; see StagePlan for its fields.")
    if "name" not in value:
        raise ValueError("every stage needs a name.")
    return StagePlan(**value)


def read_plan(path: str | Path) -> TrainingPlan:
    """Reads a plan: TOML, ``[[stages]]`` and ``[encoders]`` as tables, or a run's ``plan.json``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is neither, or no plan.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no plan {path}.")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return TrainingPlan.from_dict(values)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, ValueError) and not isinstance(error, _UNREADABLE):
            raise
        raise ValueError(f"{path} is no plan ({error}).") from error

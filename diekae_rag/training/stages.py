"""One stage of training after the other, over the same encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

from diekae_rag.encoders import Encoders
from diekae_rag.families import check_family
from diekae_rag.files import new_folder
from diekae_rag.injection import Injection
from diekae_rag.training.base import BaseParts
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.finetuning import Finetuning
from diekae_rag.training.loop import TrainingBatch, train
from diekae_rag.training.objectives import Batch, Objective
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.warmup import Warmup, amplify

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["OBJECTIVES", "StageRun", "build_objective", "evaluation", "train_stages"]

OBJECTIVES: Mapping[str, type[Objective]] = {
    "warmup": Warmup,
    "distill": Outputs,
    "differences": Differences,
    "finetune": Finetuning,
}
"""Every stage by name: ``warmup`` without the base model, ``distill`` onto the stuffed model's
output distribution, ``differences`` the paper's distillation, ``finetune`` through the base."""


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage of a run.

    Args:
        name: One of ``OBJECTIVES``.
        draw: Number to batch.
        schedule: Steps, rates and optimiser.
        held_out: Batches that are not trained on, to choose the best weights by.
        options: Given to the objective (``is_on_policy`` of ``differences``).
    """

    name: str
    draw: Callable[[int], Batch]
    schedule: Schedule
    held_out: Sequence[Batch] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def train_stages(
    base: PreTrainedModel,
    encoders: Encoders,
    stages: Sequence[StageRun],
    folder: Path,
    accelerator: Accelerator,
    *,
    is_compiled: bool = False,
    show_progress: bool = True,
    **loop_options: Any,
) -> dict[str, float]:
    """Trains encoders stage by stage, or goes on; each stage's end is kept in ``folder``.

    The base model is not changed. Warm-up ends with ``amplify``, so that the base model hears the
    encoders from the first step of the stage after it, unless that sets the deltas' size itself.

    Args:
        base: The frozen base model.
        encoders: What is trained.
        stages: What is done, in order.
        folder: A folder for each stage: checkpoints, metrics, and ``encoders`` as it left them.
        accelerator: Devices and precision.
        is_compiled: Compile what is trained; see ``BaseParts``.
        show_progress: Draw progress bars.
        **loop_options: Given to ``train`` (``checkpoint_every``, ``patience``, ...).

    Returns:
        The seconds each stage took.

    Raises:
        KeyError: A stage that does not exist.
        ValueError: A stage that these encoders or this base model cannot be trained by.
    """
    check_family(base, encoders.config)
    parts = BaseParts(base, is_compiled=is_compiled)
    for stage in stages:  # what does not fit is said before anything is trained
        with build_objective(stage.name, parts, encoders, options=stage.options):
            pass
    seconds: dict[str, float] = {}
    for stage, following in zip(stages, (*stages[1:], None), strict=True):
        with build_objective(stage.name, parts, encoders, is_compiled, stage.options) as objective:
            place = folder / stage.name
            seconds[stage.name] = train(
                stage.name,
                objective,
                stage.draw,
                stage.schedule,
                place,
                accelerator=accelerator,
                evaluate=evaluation(objective, stage.held_out, accelerator),
                show_progress=show_progress,
                **loop_options,
            )
            if stage.name == "warmup" and (following is None or following.name != "differences"):
                heard = following if following and following.name == "distill" else stage
                amplify(objective, heard.draw(stage.schedule.num_steps).to(accelerator.device))
        if accelerator.is_main_process:
            with new_folder(place / "encoders") as temporary:
                encoders.save_pretrained(temporary)
        accelerator.wait_for_everyone()
    nn.Module.eval(encoders)
    return seconds


@contextmanager
def build_objective(
    name: str,
    base: BaseParts,
    encoders: Encoders,
    is_compiled: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Iterator[Objective]:
    """Gives the objective of a stage; its hooks, where it needs any, are gone after the block.

    Raises:
        KeyError: A stage that does not exist.
    """
    kind, options = OBJECTIVES[name], dict(options or {})
    needs_injection = kind.needs_injection or options.get("is_on_policy", False)
    injection = Injection(base.model, encoders) if needs_injection else None
    try:
        yield kind(base, encoders, injection, is_compiled=is_compiled, **options)
    finally:
        if injection is not None:
            injection.detach()


def evaluation(
    objective: nn.Module, held_out: Sequence[TrainingBatch], accelerator: Accelerator
) -> Callable[[], float] | None:
    """What gives the mean loss of held-out batches; nothing where there are none."""
    if not held_out:
        return None

    @torch.no_grad()
    def evaluate() -> float:
        losses = []
        for batch in held_out:
            with accelerator.autocast():
                losses.append(objective(batch.to(accelerator.device))[0])
        return float(torch.stack(losses).mean())

    return evaluate

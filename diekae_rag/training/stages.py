"""One stage of training after the other, over the same encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel

from diekae_rag.encoders import Encoders
from diekae_rag.files import new_folder
from diekae_rag.injection import Injection
from diekae_rag.training.frozen import FrozenBase
from diekae_rag.training.loop import train
from diekae_rag.training.objectives import (
    Batch,
    Differences,
    Finetuning,
    Objective,
    Outputs,
    Warmup,
    amplify,
)
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["OBJECTIVES", "StageRun", "train_stages"]

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
    encoders from the first step of the stage after it.

    Args:
        base: The frozen base model.
        encoders: What is trained.
        stages: What is done, in order.
        folder: A folder for each stage: checkpoints, metrics, and ``encoders`` as it left them.
        accelerator: Devices and precision.
        is_compiled: Compile what is trained; see ``FrozenBase``.
        show_progress: Draw progress bars.
        **loop_options: Given to ``train`` (``checkpoint_every``, ``patience``, ...).

    Returns:
        The seconds each stage took.

    Raises:
        KeyError: A stage that does not exist.
    """
    frozen = FrozenBase(base, is_compiled=is_compiled)
    seconds: dict[str, float] = {}
    for stage in stages:
        injection = Injection(base, encoders)
        try:
            objective = OBJECTIVES[stage.name](
                frozen, encoders, injection, is_compiled=is_compiled, **stage.options
            )
            seconds[stage.name] = train(
                stage.name,
                objective,
                stage.draw,
                stage.schedule,
                folder / stage.name,
                accelerator=accelerator,
                evaluate=_evaluation(objective, stage.held_out, accelerator),
                show_progress=show_progress,
                **loop_options,
            )
            if stage.name == "warmup":
                amplify(objective, stage.draw(stage.schedule.num_steps).to(accelerator.device))
        finally:
            injection.detach()
        if accelerator.is_main_process:
            with new_folder(folder / stage.name / "encoders") as temporary:
                encoders.save_pretrained(temporary)
        accelerator.wait_for_everyone()
    nn.Module.eval(encoders)
    return seconds


def _evaluation(
    objective: Objective, held_out: Sequence[Batch], accelerator: Accelerator
) -> Callable[[], float] | None:
    """The loss of held-out batches; nothing where there are none."""
    if not held_out:
        return None

    @torch.no_grad()
    def evaluate() -> float:
        losses = [objective(batch.to(accelerator.device))[0] for batch in held_out]
        return float(torch.stack(losses).mean())

    return evaluate

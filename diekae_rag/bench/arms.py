"""What is measured: an objective, what it reads, and which weights it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from diekae_rag.bench.workload import Workload, build_encoders, draw_batch
from diekae_rag.injection import Injection
from diekae_rag.training.base import BaseParts
from diekae_rag.training.baselines import add_lora, lora_rank
from diekae_rag.training.batches import PackedBatch
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.finetuning import Finetuning
from diekae_rag.training.objectives import Batch, Objective
from diekae_rag.training.tuning import Tuning

__all__ = ["ARMS", "Arm"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train, ready to be stepped.

    Args:
        objective: From a batch to a loss; its parameters that require gradient are trained.
        draw: What a step reads; called in every step, so that reading from disk is part of it.
        passes_base: Whether gradient passes the base model's layers.
        details: What a reader of the report should know: a rank, layers.
        is_checkpointed: Whether those layers run again on the way back, to keep less.
        dump: Work done once, before all epochs.
    """

    objective: nn.Module
    draw: Callable[[], Batch | PackedBatch]
    passes_base: bool
    details: Mapping[str, Any]
    is_checkpointed: bool = False
    dump: Callable[[], None] | None = None

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The weights that are trained, by name."""
        return {n: p for n, p in self.objective.named_parameters() if p.requires_grad}


def differences(workload: Workload, **choices: Any) -> Arm:
    """The paper's first stage: the base model reads up to the highest injected layer."""
    objective, batch = _objective(workload, Differences, **choices)
    return Arm(objective, lambda: batch, False, _layers(objective))


def dumped(workload: Workload, **choices: Any) -> Arm:
    """The same once the targets are on disk, in bfloat16; writing them is timed apart."""
    objective, batch = _objective(workload, Differences, **choices)
    assert isinstance(objective, Differences)
    teacher, folder = objective, TemporaryDirectory()  # gone with the last step that reads it

    def file() -> Path:
        return Path(folder.name) / "targets.safetensors"

    def dump() -> None:
        targets = teacher.targets(batch)
        save_file({name: target.bfloat16().cpu() for name, target in targets.items()}, file())

    def draw() -> Batch:
        return Batch(batch.injected, targets=load_file(file())).to(workload.device)

    return Arm(objective, draw, False, _layers(objective), dump=dump)


def outputs(workload: Workload) -> Arm:
    """Onto the stuffed model's output distribution: one encoder, at the last layer.

    It injects at the answers too, because it is there that distributions are compared.
    """
    last = len(workload.base.model.layers) - 1
    objective, batch = _objective(workload, Outputs, layers=[last], positions="all")
    return Arm(objective, lambda: batch, False, _layers(objective))


def finetune(workload: Workload) -> Arm:
    """The encoders by the answers' loss, through the frozen base model.

    Never checkpointed: the layers would run a second time without what is injected.
    """
    objective, batch = _objective(workload, Finetuning)
    return Arm(objective, lambda: batch, True, _layers(objective))


def lora(workload: Workload) -> Arm:
    """LoRA on queries and values, with as many weights as the encoders, in the base's precision."""
    base = workload.base
    encoders = build_encoders(workload)
    rank = lora_rank(base, sum(weight.numel() for weight in encoders.parameters()))
    add_lora(base, rank)
    for weight in base.parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(base.dtype)
    return _tuning(workload, {"rank": rank})


def full(workload: Workload) -> Arm:
    """Every weight of the base model."""
    workload.base.requires_grad_(True)
    return _tuning(workload, {})


def _objective(
    workload: Workload, kind: type[Objective], **choices: Any
) -> tuple[Objective, Batch]:
    encoders = build_encoders(workload, **choices)
    injection = Injection(workload.base, encoders) if kind.needs_injection else None
    batch = draw_batch(workload.setting, encoders.config).to(workload.device)
    return kind(BaseParts(workload.base), encoders, injection), batch


def _layers(objective: Objective) -> dict[str, Any]:
    return {"layers": list(objective.encoders.config.layers)}


def _tuning(workload: Workload, details: Mapping[str, Any]) -> Arm:
    """The base model on the rows that the encoders' arms take apart, knowledge in the prompt."""
    base, setting = workload.base, workload.setting
    if setting.gradient_checkpointing:
        base.train()
        base.gradient_checkpointing_enable({"use_reentrant": False})
    config = build_encoders(workload).config
    batch = draw_batch(setting, config).for_teacher.to(workload.device)
    return Arm(Tuning(base), lambda: batch, True, details, setting.gradient_checkpointing)


ARMS: Mapping[str, Callable[[Workload], Arm]] = {
    "distill (differences)": differences,
    "distill (dumped targets)": dumped,
    "distill (one trunk)": partial(differences, sharing="shared"),
    "distill (one trunk, dumped targets)": partial(dumped, sharing="shared"),
    "distill (outputs)": outputs,
    "fine-tune": finetune,
    "LoRA": lora,
    "full": full,
}
"""Every arm by name; ratios are to LoRA. With one trunk, all layers share an encoder up to its
norm, as in the encoders that ship; else each has its own, as in the paper."""

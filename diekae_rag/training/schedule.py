"""How long, how fast, and with which optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

__all__ = ["Schedule", "build_optimizers"]

OptimizerName = Literal["adamw", "muon"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps and learning rates: warm-up, then constant, then linearly down to nothing.

    Args:
        num_steps: Steps in all.
        learning_rate: Peak rate.
        warmup_steps: Steps from zero to the peak.
        decay_share: The share of the steps, at the end, over which the rate falls.
        optimizer: ``"adamw"`` (the paper's), or ``"muon"``: matrices inside the blocks with Muon
            and the rest with AdamW, at the same rate, which learns to copy several times sooner.
        max_grad_norm: Gradients longer than this are shortened to it.
        gradient_accumulation_steps: Batches whose gradients make one step.

    Raises:
        ValueError: A number that makes no sense.
    """

    num_steps: int
    learning_rate: float
    warmup_steps: int = 100
    decay_share: float = 0.3
    optimizer: OptimizerName = "adamw"
    max_grad_norm: float = 1.0
    gradient_accumulation_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("num_steps", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        if not 0 <= self.decay_share <= 1:
            raise ValueError(f"decay_share must be between 0 and 1, got {self.decay_share}.")
        if self.optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer must be adamw or muon, got {self.optimizer!r}.")

    def factor(self, step: int) -> float:
        """The share of the peak rate used at a step.

        Example:
            >>> Schedule(100, 1e-3, warmup_steps=10).factor(50)
            1.0
        """
        decay_steps = max(1, round(self.num_steps * self.decay_share))
        up = (step + 1) / max(1, self.warmup_steps)
        down = (self.num_steps - step) / decay_steps
        return min(1.0, up, down)


def build_optimizers(
    parameters: Mapping[str, nn.Parameter], schedule: Schedule
) -> list[torch.optim.Optimizer]:
    """The optimisers of a schedule, each with its share of the parameters."""
    rate = schedule.learning_rate
    with_muon = [
        p
        for name, p in parameters.items()
        if schedule.optimizer == "muon" and p.ndim == 2 and "layers." in name
    ]
    chosen = set(map(id, with_muon))
    others = [p for p in parameters.values() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if with_muon:
        optimizers.append(
            torch.optim.Muon(
                with_muon,
                lr=rate,
                momentum=0.95,
                weight_decay=0.01,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if others:
        optimizers.append(
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        )
    return optimizers

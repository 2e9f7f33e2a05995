"""How much memory there is, and about how much a step needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diekae_rag.bench.setting import SHAPES, Setting

if TYPE_CHECKING:
    from diekae_rag.bench.arms import Arm

__all__ = ["DoesNotFitError", "available_bytes", "check_fits", "step_bytes"]


class DoesNotFitError(Exception):
    """More memory is needed than there is.

    Args:
        needed: Bytes needed, roughly.
        available: Bytes that there are.
    """

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"needs about {needed:,} bytes, {available:,} are available")
        self.needed, self.available = needed, available


def available_bytes(device: torch.device) -> int:
    """Memory that could still be taken without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable:"))


def step_bytes(setting: Setting, arm: Arm) -> int:
    """About what a step takes above the weights: gradients, AdamW's two states, activations.

    Activations only where gradient passes the base model: per token and layer 16 times its width
    and 5 times its MLP's, or its width alone if checkpointed.
    """
    trained = 3 * sum(p.numel() * p.element_size() for p in arm.trained.values())
    if not arm.passes_base:
        return trained
    shape = SHAPES[setting.shape]
    within = 16 * shape.hidden_size + 5 * shape.intermediate_size
    kept = shape.hidden_size if arm.is_checkpointed else within
    size = getattr(torch, setting.dtype).itemsize
    tokens = setting.batch_size * setting.row_tokens
    return trained + int(tokens * (kept * shape.num_hidden_layers + within) * size)


def check_fits(needed: int, device: torch.device) -> None:
    """Refuses what would be killed half way.

    Raises:
        DoesNotFitError: More is needed than there is.
    """
    if needed > (available := available_bytes(device)):
        raise DoesNotFitError(needed, available)

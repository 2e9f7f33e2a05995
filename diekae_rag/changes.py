"""Whether weights are what they were: for whatever is computed from them once and kept.

Whoever writes through ``weight.data`` is not seen; that hides it from torch itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.optim.optimizer import register_optimizer_step_post_hook

__all__ = ["Changes", "weights_in"]


class Changes:
    """Notices when a weight was written to, replaced, moved or cast.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> changes = Changes()
        >>> changes.have_come(weights_in(layer)), changes.have_come(weights_in(layer))
        (True, False)
        >>> _ = nn.init.zeros_(layer.weight)
        >>> changes.have_come(weights_in(layer))
        True
    """

    def __init__(self) -> None:
        # Held, so that what replaces a weight cannot lie where the old one lay.
        self._held: list[Tensor] = []
        self._seen: list[tuple[int, int]] | None = None

    def have_come(self, weights: Sequence[Tensor]) -> bool:
        """Whether these are others than at the last call; true at the first.

        Weights made in inference mode count no changes: they always are.
        """
        seen = [(w.data_ptr(), -1 if w.is_inference() else w._version) for w in weights]
        if seen == self._seen and not any(version < 0 for _, version in seen):
            return False
        self._held, self._seen = [weight.detach() for weight in weights], seen
        return True


def weights_in(module: nn.Module) -> list[Tensor]:
    """Every parameter and buffer, as ``parameters`` and ``buffers`` give them, but quickly."""
    return list(_walk(module))


def _walk(module: nn.Module) -> Iterator[Tensor]:
    for own in (module._parameters, module._buffers):
        yield from (weight for weight in own.values() if weight is not None)
    for child in module._modules.values():
        if child is not None:
            yield from _walk(child)


def _note_fused_steps(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Counts what fused optimizers write, as all others do by themselves."""
    for group in optimizer.param_groups:
        if group.get("fused"):
            increment_version([w for w in group["params"] if not w.is_inference()])


register_optimizer_step_post_hook(_note_fused_steps)

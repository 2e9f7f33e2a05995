"""How what is trained is spread over processes, as the loop sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diekae_rag.training.checkpoints import (
    newest_checkpoint,
    read_state,
    read_weights,
    save_checkpoint,
    saved_progress,
)
from diekae_rag.training.schedule import Schedule, build_optimizers

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["REPLICATED", "Engine", "trained_parameters"]

REPLICATED = tuple(
    f"DistributedType.{name}"
    for name in ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_MUSA",
                 "MULTI_SDAA", "MULTI_XPU", "MULTI_HPU", "MULTI_NEURON")
)  # fmt: skip
"""Where accelerate keeps what is trained whole on every process."""


def trained_parameters(objective: nn.Module) -> dict[str, nn.Parameter]:
    """What of a module requires gradient, by name."""
    return {name: p for name, p in objective.named_parameters() if p.requires_grad}


class Engine:
    """Runs one objective and its optimisers; here all of it on every process.

    Whatever lies where while it trains, ``weights`` and ``state`` give whole tensors, so that a
    checkpoint of one engine is one of any other; after ``finish`` the objective holds whole
    parameters again, the very objects that it held before.

    Args:
        objective: From a batch to a loss and figures.
        schedule: Optimiser, accumulation, and how long a gradient may be.
        accelerator: Devices and precision.
    """

    def __init__(self, objective: nn.Module, schedule: Schedule, accelerator: Accelerator) -> None:
        self.objective, self.schedule, self.accelerator = objective, schedule, accelerator
        named = trained_parameters(objective)
        optimizers = build_optimizers(named, schedule)
        self.module, *prepared = accelerator.prepare(objective, *optimizers)
        self.optimizers: Sequence[torch.optim.Optimizer] = prepared
        # Other parameters may now stand where those stood.
        current = trained_parameters(objective).values()
        self.parameters: Mapping[str, nn.Parameter] = dict(zip(named, current, strict=True))

    @property
    def num_weights(self) -> int:
        """How many are trained, all processes together."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    def set_rate(self, rate: float) -> None:
        """The learning rate of the next step."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of mixed precision."""
        context: AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def accumulate(self, batch: Any, *, is_last: bool) -> dict[str, Tensor]:
        """Adds a batch's gradient to the step's and gives its loss and figures."""
        syncing: AbstractContextManager[Any] = (
            nullcontext() if is_last else self.accelerator.no_sync(self.module)
        )
        with syncing:
            with self.autocast():
                loss, figures = self.module(batch)
            self.accelerator.backward(loss / self.schedule.gradient_accumulation_steps)
        return {"loss": loss.detach(), **figures}

    def step(self) -> Tensor | None:
        """Shortens the gradient and makes the step.

        Returns:
            The gradient's length, where it is known; not finite, no step was made.
        """
        norm = self.accelerator.clip_grad_norm_(
            self.parameters.values(), self.schedule.max_grad_norm
        )
        norm = None if norm is None else self.everywhere(norm)
        # A scaler of half precision leaves such a step out by itself.
        if norm is not None and self.accelerator.scaler is None and not norm.isfinite():
            return norm
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return None if self.accelerator.scaler is not None else norm

    def weights(self) -> dict[str, Tensor]:
        """The trained weights, whole on the main process; all call it."""
        return {name: self.whole(p.detach()) for name, p in self.parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """The optimisers' state likewise, as ``<optimiser>/<index of the weight>/<name>``."""
        return {
            f"{number}/{index}/{name}": self.whole(torch.as_tensor(value))
            for number, optimizer in enumerate(self.optimizers)
            for index, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Puts whole weights back."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.part(weights[name], parameter))

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts the optimisers' state back."""
        for number, optimizer in enumerate(self.optimizers):
            own = [p for group in optimizer.param_groups for p in group["params"]]
            found: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                owner, index, name = key.split("/")
                if int(owner) == number:
                    found.setdefault(int(index), {})[name] = self.part(value, own[int(index)])
            optimizer.load_state_dict({**optimizer.state_dict(), "state": found})

    def save(self, folder: Path, progress: Mapping[str, Any], *, num_kept: int) -> None:
        """Writes a checkpoint; every process calls it and waits for the main one."""
        weights, state = self.weights(), self.state()
        if self.accelerator.is_main_process:
            save_checkpoint(folder, weights, state, progress, num_kept=num_kept)
        self.accelerator.wait_for_everyone()

    def load(self, folder: Path) -> dict[str, Any]:
        """Puts the latest checkpoint back and gives its progress; empty where there is none.

        Raises:
            ValueError: The checkpoint is of other weights.
        """
        place = newest_checkpoint(folder)
        if place is None:
            return {}
        self.load_weights(place)
        self.set_state(read_state(place))
        return saved_progress(folder)

    def load_weights(self, place: Path) -> None:
        """Puts a checkpoint's weights back.

        Raises:
            ValueError: The checkpoint is of other weights.
        """
        shapes = {name: tuple(p.shape) for name, p in self.parameters.items()}
        self.set_weights(read_weights(place, shapes))

    def finish(self) -> None:
        """Leaves the objective as it was, with the weights that it has now."""

    def everywhere(self, tensor: Tensor) -> Tensor:
        """A value of which every process may hold a part, whole on each."""
        return tensor

    def whole(self, tensor: Tensor) -> Tensor:
        """The same where only the main process need have it."""
        return tensor

    def part(self, tensor: Tensor, like: Tensor) -> Tensor:
        """This process's part of a whole tensor, laid out as ``like`` is."""
        return tensor

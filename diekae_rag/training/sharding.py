"""FSDP: what is trained, its gradients and its optimisers' state lie in parts on the processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor, distribute_tensor

from diekae_rag.training.engines import Engine, trained_parameters
from diekae_rag.training.restoring import Modules
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["ShardedEngine"]


class ShardedEngine(Engine):
    """An objective in parts: FSDP's second version, ``fully_shard``.

    Encoders are one unit: they are small, and their blocks hand keys and values on by other ways
    than what ``forward`` returns, which FSDP could not follow. A base model that is itself trained
    is one unit a decoder layer, so that no process ever computes on more than one layer's whole
    weights (those that mixed precision has cast stay until the backward pass). The frozen base
    model is not split: every process has it. Precision is what it is without FSDP, by autocast, and
    the plugin's own policies of wrapping and precision are not used.

    Steps, Muon's too, are those of processes that hold everything, but for the order of sums.

    Raises:
        ValueError: Quantized weights among what is to be split.
    """

    def __init__(self, objective: nn.Module, schedule: Schedule, accelerator: Accelerator) -> None:
        _check(objective)
        _set_up(accelerator.state.fsdp_plugin)
        accelerator.free_memory()  # an engine that was stopped by an error
        objective.to(accelerator.device)
        for parameter in trained_parameters(objective).values():
            torch.distributed.broadcast(parameter.data, src=0)  # as replicas begin
        self._modules = Modules(objective)
        before = list(objective.parameters())
        super().__init__(objective, schedule, accelerator)
        self._split = [
            (whole, part, whole.dtype)
            for whole, part in zip(before, objective.parameters(), strict=True)
            if isinstance(part, DTensor)
        ]
        for whole, _, _ in self._split:
            whole.data = whole.new_empty(0)
        self._modules.look()

    def finish(self) -> None:
        """Gathers the weights into the parameters that were there before; FSDP's hooks go."""
        for whole, part, dtype in self._split:
            gathered = self.everywhere(part.detach())
            whole.data = gathered.to(self.accelerator.device, dtype)
        self._modules.restore()
        self.accelerator.free_memory()
        self.module, self.optimizers = self.objective, []
        names, current = self.parameters, trained_parameters(self.objective).values()
        self.parameters = dict(zip(names, current, strict=True))

    def everywhere(self, tensor: Tensor) -> Tensor:
        """Gathers a tensor's parts."""
        if not isinstance(tensor, DTensor):
            return tensor
        whole: Tensor = tensor.full_tensor()
        return whole

    def whole(self, tensor: Tensor) -> Tensor:
        """Gathers a tensor's parts, one tensor after the other, into the main process's memory."""
        gathered = self.everywhere(tensor)
        if gathered is tensor:
            return tensor
        return gathered.cpu() if self.accelerator.is_main_process else gathered.new_empty(0)

    def part(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Cuts a whole tensor as ``like`` is cut; what is no weight's (a count) stays whole."""
        if not isinstance(like, DTensor) or tensor.shape != like.shape:
            return tensor
        whole = tensor.to(like.device)
        return distribute_tensor(whole, like.device_mesh, like.placements)


def _check(objective: nn.Module) -> None:
    """Refuses weights that cannot be cut.

    Raises:
        ValueError: There are quantized ones.
    """
    for name, parameter in objective.named_parameters():
        if not parameter.is_floating_point():
            raise ValueError(
                f"FSDP cannot split {name}, which is quantized ({parameter.dtype}); load the base "
                "model without quantization, or launch without --use_fsdp."
            )


def _set_up(plugin: Any) -> None:
    """Makes accelerate's plugin do what ``ShardedEngine`` says."""
    # Units are the classes that the objective names in _no_split_modules, and the whole.
    plugin.auto_wrap_policy = transformer_auto_wrap_policy
    plugin.transformer_cls_names_to_wrap = None
    plugin.mixed_precision_policy = None
    plugin.cpu_ram_efficient_loading = False  # every process holds the weights already

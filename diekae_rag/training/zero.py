"""DeepSpeed: gradients and the optimiser's state lie in parts on the processes (ZeRO 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diekae_rag.training.engines import Engine
from diekae_rag.training.restoring import Modules
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["ZeroEngine", "check_deepspeed"]

_MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight, beside the count of its steps."""


class ZeroEngine(Engine):
    """An objective whole on every process, its gradients and AdamW's state in parts.

    Accumulation and the longest gradient are the schedule's, whatever DeepSpeed's own
    configuration says of them. Precision is what it is without DeepSpeed: bfloat16 is autocast over
    float32 weights, for DeepSpeed's own would round the rotary frequencies too.

    Raises:
        ValueError: Another optimiser than AdamW, half precision, another stage, or offloading.
    """

    def __init__(self, objective: nn.Module, schedule: Schedule, accelerator: Accelerator) -> None:
        config = accelerator.deepspeed_plugin.deepspeed_config
        check_deepspeed(config, schedule)
        _set_up(config, schedule)
        self._is_autocast = bool(config.get("torch_autocast", {}).get("enabled"))
        accelerator.gradient_accumulation_steps = schedule.gradient_accumulation_steps
        accelerator.free_memory()  # an engine that was stopped by an error
        self._modules = Modules(objective)
        super().__init__(objective, schedule, accelerator)
        self._modules.look()

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of mixed precision."""
        if not self._is_autocast:
            return nullcontext()
        return torch.autocast(self.accelerator.device.type, torch.bfloat16)

    def accumulate(self, batch: Any, *, is_last: bool) -> dict[str, Tensor]:
        """Adds a batch's gradient to the step's and gives its loss and figures."""
        self.module.set_gradient_accumulation_boundary(is_last)
        loss, figures = self.module(batch)
        self.module.backward(loss)  # divides it by the batches of a step
        return {"loss": loss.detach(), **figures}

    def step(self) -> Tensor | None:
        """Shortens the gradient and makes the step, unless the gradient is no number."""
        self.module.step()
        return torch.as_tensor(self.module.get_global_grad_norm())

    def weights(self) -> dict[str, Tensor]:
        """The trained weights, whole, in float32."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {name: safe_get_full_fp32_param(p) for name, p in self.parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """AdamW's state, whole; empty before its first step."""
        from deepspeed.utils import safe_get_full_optimizer_state

        counts = [values["step"] for values in self._adamw.state.values()]
        if not counts:
            return {}
        state = {}
        for index, parameter in enumerate(self.parameters.values()):
            state[f"0/{index}/step"] = torch.as_tensor(counts[0]).clone()
            for name in _MOMENTS:
                state[f"0/{index}/{name}"] = safe_get_full_optimizer_state(parameter, name)
        return state

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Puts whole weights back, where they are computed with and where they are stepped."""
        from deepspeed.utils import safe_set_full_fp32_param

        super().set_weights(weights)
        for name, parameter in self.parameters.items():
            if hasattr(parameter, "_hp_mapping"):  # gone with the engine
                safe_set_full_fp32_param(parameter, weights[name].to(parameter.device))

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts AdamW's state back."""
        from deepspeed.utils import safe_set_full_optimizer_state

        if not state:
            return
        count = next(value for key, value in state.items() if key.endswith("/step"))
        for flat in (p for group in self._adamw.param_groups for p in group["params"]):
            moments = {name: torch.zeros_like(flat) for name in _MOMENTS}
            self._adamw.state[flat] = {"step": count.to(flat.device).clone(), **moments}
        self.module.optimizer._lazy_init_hp_params_optimizer_state()
        for index, parameter in enumerate(self.parameters.values()):
            for name in _MOMENTS:
                value = state.get(f"0/{index}/{name}")  # none where there was no gradient yet
                if value is not None:
                    value = value.to(parameter.device)
                    safe_set_full_optimizer_state(parameter, value, name)

    def finish(self) -> None:
        """Takes DeepSpeed's hooks and marks away."""
        self.accelerator.free_memory()
        self._modules.restore()
        for parameter in self.objective.parameters():
            parameter.data = parameter.data.clone()  # no longer a view of one flat tensor
        self.module, self.optimizers = self.objective, []

    @property
    def _adamw(self) -> torch.optim.Optimizer:
        """The optimiser under DeepSpeed's, over this process's part."""
        optimizer: torch.optim.Optimizer = self.module.optimizer.optimizer
        return optimizer


def check_deepspeed(config: Mapping[str, Any], schedule: Schedule) -> None:
    """Refuses what would not train, or not as it says.

    Args:
        config: DeepSpeed's configuration.
        schedule: What is to be trained.

    Raises:
        ValueError: See ``ZeroEngine``.
    """
    zero = config.get("zero_optimization", {})
    if zero.get("stage") not in (1, 2):
        raise ValueError(
            f"DeepSpeed's ZeRO stage {zero.get('stage')} was asked for, and training takes 1 and "
            "2: accelerate launch --use_deepspeed --zero_stage 2 ... To split the weights as well, "
            "launch with --use_fsdp --fsdp_version 2."
        )
    offloaded = [
        name
        for name in ("offload_optimizer", "offload_param")
        if (zero.get(name) or {}).get("device") not in (None, "none")
    ]
    if offloaded:
        raise ValueError(
            f"DeepSpeed was asked for {' and '.join(offloaded)}, which a checkpoint could not put "
            "back; leave it out, or launch with --use_fsdp --fsdp_version 2 --fsdp_offload_params "
            "true."
        )
    if (config.get("fp16") or {}).get("enabled") is True:
        raise ValueError("DeepSpeed trains in bf16 or no mixed precision here, and fp16 came.")
    if schedule.optimizer != "adamw":
        raise ValueError(
            f"DeepSpeed takes one optimiser, and optimizer={schedule.optimizer!r} is two: set "
            'optimizer to "adamw" (--optimizer adamw), or launch with --use_fsdp --fsdp_version 2.'
        )


def _set_up(config: dict[str, Any], schedule: Schedule) -> None:
    """Makes DeepSpeed's configuration say what the schedule says."""
    config["train_batch_size"] = "auto"
    config["train_micro_batch_size_per_gpu"] = 1  # batches are drawn here
    config["gradient_accumulation_steps"] = schedule.gradient_accumulation_steps
    config["gradient_clipping"] = schedule.max_grad_norm
    if (config.get("bf16") or {}).get("enabled") is True:
        config["bf16"] = {"enabled": False}
        # No class of module has its gradients sent in bfloat16.
        autocast = {"enabled": True, "dtype": "bfloat16", "lower_precision_safe_modules": []}
        config["torch_autocast"] = autocast

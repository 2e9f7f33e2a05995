"""LoRA and full fine-tuning: what encoders are measured against, on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from transformers import PreTrainedModel

from diekae_rag.families import decoder_layers

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["add_lora", "lora_rank", "num_trainable"]

LORA_MODULES = ("q_proj", "v_proj")
"""Where the paper puts LoRA."""


def lora_rank(
    base: PreTrainedModel, num_weights: int, modules: Sequence[str] = LORA_MODULES
) -> int:
    """The rank whose adapters have as nearly as possible so many weights.

    Raises:
        ValueError: The base model has no linear layers of these names.
    """
    per_rank = sum(
        module.in_features + module.out_features
        for layer in decoder_layers(base)
        for name, module in layer.named_modules()
        if name.rpartition(".")[2] in modules and isinstance(module, nn.Linear)
    )
    if not per_rank:
        raise ValueError(
            f"this {base.config.model_type!r} model has no {' or '.join(modules)} to adapt."
        )
    return max(1, round(num_weights / per_rank))


def add_lora(base: PreTrainedModel, rank: int, modules: Sequence[str] = LORA_MODULES) -> PeftModel:
    """The base model with LoRA adapters, which alone require gradient.

    Raises:
        ImportError: peft is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ImportError(
            'peft is not installed; LoRA needs it: pip install "diekae-rag[train]"'
        ) from error
    options: dict[str, Any] = {"r": rank, "lora_alpha": 2 * rank, "target_modules": list(modules)}
    config = LoraConfig(task_type="CAUSAL_LM", **options)
    return cast("PeftModel", get_peft_model(base, config))


def num_trainable(module: nn.Module) -> int:
    """How many weights require gradient."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)

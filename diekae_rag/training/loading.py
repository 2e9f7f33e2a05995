"""The base model of a run, in memory as the plan says, and a config for its encoders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from diekae_rag.config import DiekaeConfig
from diekae_rag.training.plan import TrainingPlan

__all__ = ["base_window", "check_base", "encoder_config", "load_base", "load_tokenizer"]

_MOST_LAYERS = 8
_RECOMMENDED = {
    "sharing": "shared",
    "positions": "all",
    "passage_attention": "independent",
    "passage_direction": "both",
    "num_attention_heads": 4,
    "num_hidden_layers": 5,
}


def check_base(name: str) -> None:
    """Refuses what looks like a folder and is none, before a hub is asked for it.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path and not Path(name).is_dir():
        raise FileNotFoundError(f"there is no folder {name} with a base model in it.")


def load_tokenizer(plan: TrainingPlan) -> PreTrainedTokenizerBase:
    """The base model's tokenizer."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(plan.base)
    return tokenizer


def load_base(
    plan: TrainingPlan, device: torch.device, *, is_trained: bool = False
) -> PreTrainedModel:
    """Loads the base model.

    Args:
        plan: Its name, dtype, quantization and device map.
        device: Where it goes, unless it is quantized or spread out.
        is_trained: It is itself trained: in float32, and neither quantized nor spread out.

    Raises:
        ImportError: Quantization without bitsandbytes.
    """
    options: dict[str, Any] = {"dtype": "float32" if is_trained else plan.dtype}
    if not is_trained and plan.quantization is not None:
        bits = {f"load_in_{plan.quantization}": True}
        options["quantization_config"] = BitsAndBytesConfig(**bits)
        options["device_map"] = {"": device}
    if not is_trained and plan.device_map is not None:
        options["device_map"] = plan.device_map
    try:
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            plan.base, attn_implementation="sdpa", **options
        )
    except ImportError as error:
        if "quantization_config" not in options:
            raise
        raise ImportError(
            f"a base model in {plan.quantization} needs bitsandbytes: "
            'pip install "diekae-rag[quantized]"'
        ) from error
    if "device_map" not in options:
        torch.nn.Module.to(base, device)
    return base


def base_window(plan: TrainingPlan) -> int:
    """How many positions the base model has."""
    config = AutoConfig.from_pretrained(plan.base).get_text_config()
    return int(getattr(config, "max_position_embeddings", 0) or 1 << 20)


def encoder_config(plan: TrainingPlan) -> DiekaeConfig:
    """The encoders' config that a plan asks for, with the base model's width and depth.

    Raises:
        ValueError: Fields that do not fit each other or the base model.
    """
    base = AutoConfig.from_pretrained(plan.base).get_text_config()
    layers = base.num_hidden_layers
    fields: dict[str, Any] = {
        "base_model_name_or_path": os.path.realpath(plan.base)
        if os.path.isdir(plan.base)
        else plan.base,
        "base_model_revision": getattr(base, "_commit_hash", None),
        "base_hidden_size": base.hidden_size,
        "base_num_hidden_layers": layers,
    }
    if plan.preset == "recommended":
        count = min(_MOST_LAYERS, layers)
        spread = [round((i + 1) * layers / count) - 1 for i in range(count)]
        fields |= _RECOMMENDED | {"layers": spread}
    return DiekaeConfig(**{**fields, **plan.encoders})

"""Which base models can be injected into: an allow-list, and a numeric probe of the one at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from diekae_rag.config import DiekaeConfig

__all__ = ["FAMILIES", "check_family", "decoder_layers", "input_embeddings", "probe"]

FAMILIES = (
    "cohere",
    "gemma",
    "llama",
    "mistral",
    "mixtral",
    "olmo",
    "phi",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "smollm3",
    "stablelm",
    "starcoder2",
)
"""Decoders in which adding to an MLP's output is adding to the residual stream."""


def input_embeddings(base: PreTrainedModel) -> nn.Embedding:
    """The base model's token embeddings: what the encoders read, and where its input goes."""
    return cast(nn.Embedding, base.get_input_embeddings())


def decoder_layers(base: PreTrainedModel) -> nn.ModuleList:
    """The base model's decoder layers, in order."""
    return cast(nn.ModuleList, base.get_decoder().layers)


def check_family(base: PreTrainedModel, config: DiekaeConfig) -> None:
    """Refuses a base model that the encoders cannot belong to.

    Raises:
        ValueError: The family is not known to work, or width or depth differ from the config's.
    """
    family = base.config.model_type
    if family not in FAMILIES:
        raise ValueError(
            f"cannot inject into a {family!r} model: what is added to its MLPs' output is not "
            f"simply added to its hidden states. Families that work: {', '.join(FAMILIES)}."
        )
    for name in ("hidden_size", "num_hidden_layers"):
        trained, got = getattr(config, f"base_{name}"), getattr(base.config, name)
        if trained != got:
            raise ValueError(
                f"the encoders were trained for a base model with {name} {trained} "
                f"({config.base_model_name_or_path or 'unnamed'}), the one you passed has {got}. "
                "Load the base model they name, or train encoders for this one."
            )


@torch.no_grad()
def probe(
    base: PreTrainedModel,
    config: DiekaeConfig,
    adding: Callable[[Mapping[int, Tensor]], AbstractContextManager[None]],
) -> None:
    """Adds a known delta at one layer and sees that the layer's output moves by just that.

    Args:
        base: The base model, with its hooks attached.
        config: Names the layers.
        adding: Opens a block in which given deltas are added.

    Raises:
        ValueError: The output moved by anything else.
    """
    layer = config.layers[0]
    seen: list[Tensor] = []

    def keep(module: object, args: object, output: Tensor | tuple[Tensor, ...]) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    decoder = base.get_decoder()
    handle = decoder_layers(base)[layer].register_forward_hook(keep)
    was_training = [module for module in base.modules() if module.training]
    base.eval()  # dropout would move the output too
    try:
        ids = torch.zeros(1, 2, dtype=torch.long, device=input_embeddings(base).weight.device)
        decoder(input_ids=ids, use_cache=False)
        size = base.config.hidden_size
        delta = torch.linspace(-1, 1, size, device=seen[0].device).expand(1, 2, size)
        delta = delta * seen[0].float().abs().mean().clamp(min=1e-3)
        with adding({layer: delta}):
            decoder(input_ids=ids, use_cache=False)
    finally:
        handle.remove()
        for module in was_training:
            module.training = True
    rounding = 4 * torch.finfo(seen[0].dtype).eps * seen[0].float().abs()
    missed = (seen[1].float() - seen[0].float() - delta).abs() - rounding
    error = missed.max().clamp(min=0) / delta.abs().max()
    if not error < 0.05:
        raise ValueError(
            f"this {base.config.model_type!r} model does not simply add what is injected at layer "
            f"{layer} ({config.site}): the layer's output is off by {float(error):.0%} of it."
        )

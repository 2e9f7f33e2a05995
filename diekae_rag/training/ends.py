"""A base model's two ends, kept apart from its layers: embeddings, final norm and head.

They are all that encoders need where what the layers would give has been kept on disk: 0.5 of the
13.5 GB of LLaMA2-7B.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from diekae_rag.families import input_embeddings
from diekae_rag.training.base import final_norm

__all__ = ["load_ends", "save_ends"]


def save_ends(base: PreTrainedModel, folder: Path) -> None:
    """Writes a base model's config, embeddings, final norm and head.

    Args:
        base: The base model; quantized ends are refused by the file format.
        folder: An existing folder.
    """
    head = cast(nn.Module, base.get_output_embeddings())
    state: dict[str, Tensor] = {}
    for name, module in _named(base, input_embeddings(base), final_norm(base), head):
        for key, tensor in module.state_dict().items():
            state[f"{name}.{key}"] = tensor.detach().cpu().contiguous().clone()
    base.config.save_pretrained(folder)
    save_file(state, folder / "ends.safetensors")


def load_ends(folder: Path, device: torch.device | str = "cpu") -> PreTrainedModel:
    """A base model whose decoder layers take no memory and cannot be run.

    Args:
        folder: As ``save_ends`` left it.
        device: Where the ends go.

    Raises:
        FileNotFoundError: There are no ends in the folder.
    """
    if not (folder / "ends.safetensors").exists():
        raise FileNotFoundError(f"{folder} holds no ends of a base model; dump the targets again.")
    config = AutoConfig.from_pretrained(folder)
    state = load_file(folder / "ends.safetensors", device=str(device))
    dtype = next(iter(state.values())).dtype
    with torch.device("meta"):
        build: Any = AutoModelForCausalLM.from_config  # not typed
        base: PreTrainedModel = build(config, dtype=dtype)
    base.load_state_dict(state, strict=False, assign=True)
    base.tie_weights()
    nn.Module.requires_grad_(base, False)
    nn.Module.eval(base)
    return base


def _named(base: PreTrainedModel, *modules: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules by the names that the whole model's weights have."""
    names = {id(module): name for name, module in base.named_modules()}
    return [(names[id(module)], module) for module in modules]

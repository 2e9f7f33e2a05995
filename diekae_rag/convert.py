"""From the released code's encoders to ours.

The released code rotates neighbouring pairs of a head's rows, transformers the two halves; its
files name encoders by their place in the list of injected layers, ours by the layer. Both are
undone here, so that the converted encoders give the same outputs.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diekae_rag.config import DiekaeConfig
from diekae_rag.encoders import Encoders

__all__ = ["convert_released", "read_released"]

_BLOCK = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def read_released(path: str | Path) -> dict[str, Any]:
    """Reads a file of the released code; only tensors and plain values, so that no code runs.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is of another kind, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as tensors and plain values ({reason}); "
            "pass a checkpoint that the released code saved."
        ) from error
    if not isinstance(content, dict) or "encoder0" not in content:
        raise ValueError(
            f"{path} has no encoder0; pass a checkpoint that the released code saved, a mapping of "
            "encoder0, encoder1, ... and config."
        )
    return content


def convert_released(
    content: Mapping[str, Any],
    *,
    base_model_name_or_path: str | None = None,
    base_num_hidden_layers: int = 32,
    num_attention_heads: int = 32,
) -> Encoders:
    """Builds encoders that give what the released code's give.

    Args:
        content: As ``read_released`` gives it: ``encoder0``, ``encoder1``, ... and ``config``,
            whose ``encoder_layers`` says which decoder layer each belongs to.
        base_model_name_or_path: The base model; the one that ``config`` names when not given.
        base_num_hidden_layers: How many decoder layers the base model has.
        num_attention_heads: Heads of an encoder block; the released code has 32.

    Raises:
        ValueError: A weight is missing, too many, or of another shape, or the layers do not match
            the encoders.
    """
    said = content.get("config", {})
    said = dict(said) if isinstance(said, Mapping) else {}
    count = sum(name.removeprefix("encoder").isdigit() for name in content)
    layers = [int(layer) for layer in said.get("encoder_layers", [])]
    if len(layers) != count:
        raise ValueError(
            f"the checkpoint holds {count} encoders and its config's encoder_layers names "
            f"{len(layers)} layers ({layers}); they must be as many."
        )
    first = content["encoder0"]
    missing = [
        n for n in ("downscaler.weight", "layers.0.feed_forward.w1.weight") if n not in first
    ]
    if missing:
        raise ValueError(f"encoder0 has no {missing[0]}; it holds {sorted(first)[:8]}.")
    hidden_size, base_hidden_size = first["downscaler.weight"].shape
    config = DiekaeConfig(
        base_model_name_or_path=base_model_name_or_path or str(said.get("model_name", "")),
        base_hidden_size=base_hidden_size,
        base_num_hidden_layers=base_num_hidden_layers,
        layers=layers,
        hidden_size=hidden_size,
        intermediate_size=first["layers.0.feed_forward.w1.weight"].shape[0],
        num_hidden_layers=len({n.split(".")[1] for n in first if n.startswith("layers.")}),
        num_attention_heads=num_attention_heads,
    )
    encoders = Encoders(config)
    weights: dict[str, Tensor] = {}
    for position, layer in enumerate(layers):
        weights |= _renamed(content[f"encoder{position}"], layer, num_attention_heads)
    own = {name: tuple(weight.shape) for name, weight in encoders.state_dict().items()}
    given = {name: tuple(weight.shape) for name, weight in weights.items()}
    if wrong := sorted(
        name for name in own.keys() | given.keys() if own.get(name) != given.get(name)
    ):
        raise ValueError(
            f"{len(wrong)} weights do not fit; {wrong[0]} is {given.get(wrong[0])} in the "
            f"checkpoint and {own.get(wrong[0])} in encoders of this shape."
        )
    encoders.load_state_dict(weights)
    return encoders


def _renamed(state: Mapping[str, Tensor], layer: int, heads: int) -> dict[str, Tensor]:
    """One encoder's weights under our names; the base model's embeddings are left out."""
    renamed = {}
    for name, weight in state.items():
        if name == "tok_embeddings.weight":
            continue
        stem = name.removesuffix(".weight")
        if stem == "upscaler":
            renamed[f"up.{layer}.weight"] = weight
        elif stem in ("downscaler", "norm"):
            renamed[f"bodies.{layer}.{stem.replace('downscaler', 'down')}.weight"] = weight
        else:
            _, number, part = stem.split(".", 2) if stem.count(".") > 1 else ("", "", stem)
            if part in ("attention.wq", "attention.wk"):
                weight = _halves(weight, heads)
            renamed[f"bodies.{layer}.layers.{number}.{_BLOCK.get(part, part)}.weight"] = weight
    return {name: weight.detach().clone().contiguous() for name, weight in renamed.items()}


def _halves(weight: Tensor, heads: int) -> Tensor:
    """Rows ``(0, 1), (2, 3), ...`` of each head as ``0, 2, ..., 1, 3, ...``.

    Example:
        >>> _halves(torch.arange(4.0)[:, None], heads=1).flatten().tolist()
        [0.0, 2.0, 1.0, 3.0]
    """
    rows, width = weight.shape
    if rows % (2 * heads):
        raise ValueError(f"{rows} rows cannot be {heads} heads of even size.")
    return weight.view(heads, rows // heads // 2, 2, width).transpose(1, 2).reshape(rows, width)

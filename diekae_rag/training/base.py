"""The base model as training sees it: embeddings, decoder layers, final norm and head.

Axes: B rows, T positions, D width of the base model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from diekae_rag.families import decoder_layers, input_embeddings
from diekae_rag.training.batches import PackedBatch

__all__ = ["BaseParts", "final_norm", "has_layers"]

_NORMS = ("norm", "final_layernorm")


def final_norm(base: PreTrainedModel) -> nn.Module:
    """The norm between the last decoder layer and the head.

    Raises:
        ValueError: It goes by a name that is not known.
    """
    decoder = base.get_decoder()
    for name in _NORMS:
        if isinstance(norm := getattr(decoder, name, None), nn.Module):
            return norm
    raise ValueError(
        f"cannot find the final norm of this {base.config.model_type!r} model under any of "
        f"{', '.join(_NORMS)}; only squared error on differences can train encoders for it."
    )


def has_layers(model: PreTrainedModel) -> bool:
    """False where a model's decoder layers have no weights anywhere; see ``load_ends``."""
    is_spread = getattr(model, "hf_device_map", None) is not None  # some may lie on the disk
    return is_spread or all(p.device.type != "meta" for p in model.get_decoder().parameters())


class _Reached(Exception):
    """The highest layer that anything is wanted of has run: no error, the end."""


class BaseParts:
    """Runs the parts of a base model that a training stage needs, and no others.

    Args:
        model: A decoder; its parameters are frozen here unless ``is_trained``.
        is_compiled: Compile what is run with gradient. Worth its minute in long training with rows
            of one length.
        is_trained: Leave the model's parameters as they are: it is itself what is trained.
    """

    def __init__(
        self, model: PreTrainedModel, *, is_compiled: bool = False, is_trained: bool = False
    ) -> None:
        self.model = model if is_trained else model.requires_grad_(False).eval()
        self.decoder: nn.Module = model.get_decoder()
        self.layers = decoder_layers(model)
        self._decode = torch.compile(self._run, dynamic=False) if is_compiled else self._run

    @property
    def device(self) -> torch.device:
        """Where its input goes."""
        return input_embeddings(self.model).weight.device

    @torch.no_grad()
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings ``[B, T, D]`` of token ids ``[B, T]``."""
        return cast(Tensor, input_embeddings(self.model)(ids))

    def read(self, batch: PackedBatch) -> Tensor:
        """What the final norm gives, ``[B, T, D]``; with gradient where deltas have any."""
        return self._decode(batch.input_ids, batch.position_ids, self._mask(batch))

    @torch.no_grad()
    def read_before_norm(self, batch: PackedBatch) -> Tensor:
        """What reaches the final norm, ``[B, T, D]``."""
        seen: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
            seen.append(args[0])

        handle = final_norm(self.model).register_forward_pre_hook(keep)
        try:
            self._run(batch.input_ids, batch.position_ids, self._mask(batch))
        finally:
            handle.remove()
        return seen[0]

    @torch.no_grad()
    def outputs_at(
        self, batch: PackedBatch, layers: list[int], site: str, at: Tensor
    ) -> Mapping[int, Tensor]:
        """Outputs ``[positions, D]`` of the layers' MLPs, or of the whole layers.

        Decoder layers above the highest one asked for are not run, nor is the highest one's MLP
        where nothing is asked of it.

        Args:
            batch: What is read.
            layers: Which decoder layers.
            site: ``"mlp"`` or ``"layer"``.
            at: ``[B, T]`` bool; which positions.
        """
        outputs: dict[int, Tensor] = {}
        highest, is_cut = max(layers), False

        def cut(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            nonlocal is_cut
            is_cut = True
            return (args[0][at][None], *args[1:])

        def keep(layer: int) -> Callable[..., None]:
            def hook(module: nn.Module, args: object, output: Any) -> None:
                hidden: Tensor = output[0] if isinstance(output, tuple) else output
                outputs[layer] = hidden[0] if layer == highest and is_cut else hidden[at]
                if layer == highest:
                    raise _Reached

            return hook

        handles = []
        for layer in layers:
            module = self.layers[layer]
            place = module.get_submodule("mlp") if site == "mlp" else module
            handles.append(place.register_forward_hook(keep(layer)))
            if layer == highest and site == "mlp":
                handles.append(place.register_forward_pre_hook(cut))
        try:
            with suppress(_Reached):
                self._run(batch.input_ids, batch.position_ids, self._mask(batch))
        finally:
            for handle in handles:
                handle.remove()
        return outputs

    def norm(self, hidden: Tensor) -> Tensor:
        """The final norm, of ``[..., D]``."""
        return cast(Tensor, final_norm(self.model)(hidden))

    def logits(self, normed: Tensor) -> Tensor:
        """The head over what the final norm gave; ``[..., D]`` to ``[..., V]`` in float32."""
        head = cast(nn.Module, self.model.get_output_embeddings())
        scale = float(getattr(self.model.config, "logit_scale", None) or 1.0)
        return cast(Tensor, head(normed.to(self.model.dtype))).float() * scale

    def _run(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        if not has_layers(self.model):
            raise ValueError(
                "this stage runs the base model's layers, and only its two ends are in memory; "
                "pass the base model."
            )
        output = self.decoder(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        )
        return cast(Tensor, output.last_hidden_state)

    def _mask(self, batch: PackedBatch) -> Tensor:
        """The mask in the form that the model's attention wants."""
        kind = getattr(self.model.config, "_attn_implementation", "sdpa")
        if kind == "sdpa":
            return batch.attention_mask
        if kind != "eager":
            raise ValueError(
                f"training cannot use attn_implementation={kind!r}, which takes no mask of its "
                'own; load the base model with attn_implementation="sdpa".'
            )
        dtype = self.model.dtype
        zeros = torch.zeros_like(batch.attention_mask, dtype=dtype)
        return zeros.masked_fill(~batch.attention_mask, torch.finfo(dtype).min)

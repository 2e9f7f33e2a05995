"""The LLaMA blocks of several encoders, run as one: weights stacked, heads side by side.

Axes: E encoders, B rows, T positions, S positions that are read, H heads of one encoder, d head
size, h width of an encoder, I width inside its MLPs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import rotate_half

__all__ = ["Blocks", "rms_norm"]

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes a pass's keys and values, ``[B, E * H, T, d]``; gives those attended to, with S for T."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """One block of every encoder.

    Args:
        norm: ``[E, 1, h]``, before attention.
        qkv: ``[E, 3 * h, h]``: queries, keys and values.
        out: ``[E, h, h]``, after attention.
        mlp_norm: ``[E, 1, h]``.
        gate_up: ``[E, 2 * I, h]``.
        down: ``[E, h, I]``.
        num_heads: H.
        eps: Added to the variance in the norms.
    """

    norm: Tensor
    qkv: Tensor
    out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor
    num_heads: int
    eps: float

    @classmethod
    def stack(cls, blocks: Sequence[nn.Module], num_heads: int, eps: float) -> Blocks:
        """The blocks of several encoders, each a ``LlamaDecoderLayer``; gradient reaches them."""

        def of(*names: str) -> Tensor:
            each = [
                torch.cat([block.get_parameter(f"{name}.weight") for name in names])
                for block in blocks
            ]
            return torch.stack(each)

        attention = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        return cls(
            of("input_layernorm")[:, None],
            of(*attention),
            of("self_attn.o_proj"),
            of("post_attention_layernorm")[:, None],
            of("mlp.gate_proj", "mlp.up_proj"),
            of("mlp.down_proj"),
            num_heads,
            eps,
        )

    def run(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor], mask: Tensor | None, remember: Remember
    ) -> Tensor:
        """One block over ``[E, B, T, h]``.

        Args:
            hidden: What the blocks before it gave.
            rotary: Cosine and sine, ``[B, T, d]`` each.
            mask: ``[B, 1, T, S]`` bool; without one, a token sees itself and what comes before it.
            remember: Gets this pass's keys and values, and gives what is attended to.
        """
        queries, keys, values = self._project(hidden, rotary, self.qkv)
        keys, values = remember(keys, values)
        seen = functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=mask is None
        )
        batch_size, _, length, size = seen.shape
        apart = seen.view(batch_size, len(self.out), -1, length, size).permute(1, 0, 3, 2, 4)
        hidden = hidden + _linear(apart.reshape(hidden.shape), self.out)
        gate, up = _linear(rms_norm(hidden, self.mlp_norm, self.eps), self.gate_up).chunk(2, -1)
        return hidden + _linear(functional.silu(gate) * up, self.down)

    def keys_and_values(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What the block would remember of ``[E, B, T, h]``, and nothing else of it."""
        keys, values = self._project(hidden, rotary, self.qkv[:, hidden.shape[-1] :])
        return keys, values

    def _project(self, hidden: Tensor, rotary: tuple[Tensor, Tensor], weight: Tensor) -> Any:
        """Queries (where ``weight`` has them), keys and values, ``[B, E * H, T, d]`` each."""
        encoders, batch_size, length, width = hidden.shape
        projected = _linear(rms_norm(hidden, self.norm, self.eps), weight)
        kinds = projected.view(
            encoders, batch_size, length, -1, self.num_heads, width // self.num_heads
        )
        kinds = kinds.permute(3, 1, 0, 4, 2, 5).flatten(2, 3)
        turned, values = kinds[:-1], kinds[-1]
        cosine, sine = (part[None, :, None] for part in rotary)
        turned = turned * cosine + rotate_half(turned) * sine
        return (*turned.unbind(0), values)


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``LlamaRMSNorm`` of ``[E, B, T, h]``, each encoder with its own weight of ``[E, 1, h]``."""
    return functional.rms_norm(hidden, hidden.shape[-1:], None, eps) * weight[:, None]


def _linear(hidden: Tensor, weight: Tensor) -> Tensor:
    """``[E, B, T, i]`` through ``[E, o, i]``."""
    flat = torch.bmm(hidden.flatten(1, 2), weight.transpose(1, 2))
    return flat.view(*hidden.shape[:-1], -1)

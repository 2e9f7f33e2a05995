"""Knowledge and prompt in, a delta per injected layer out.

Axes: B rows, T positions of this pass, K knowledge positions, P passages, D width of the base
model, h width of an encoder, N blocks of all bodies.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, LlamaConfig, PreTrainedModel
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

from diekae_rag.attention import ATTENTION
from diekae_rag.config import DiekaeConfig
from diekae_rag.states import Knowledge, PassageStates

__all__ = ["Encoders"]

_CACHE = (
    "cache"
    if "cache" in inspect.signature(LlamaDecoderLayer.forward).parameters
    else "past_key_values"
)


class EncoderBody(nn.Module):
    """One encoder up to its norm: base embedding -> down -> LLaMA blocks -> RMSNorm."""

    def __init__(self, config: DiekaeConfig) -> None:
        super().__init__()
        blocks = LlamaConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            max_position_embeddings=1 << 20,
        )
        blocks._attn_implementation = ATTENTION
        self.down = nn.Linear(config.base_hidden_size, config.hidden_size, bias=False)
        self.layers = nn.ModuleList(
            LlamaDecoderLayer(blocks, index) for index in range(config.num_hidden_layers)
        )
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary = LlamaRotaryEmbedding(blocks)

    def forward(
        self, embeddings: Tensor, mask: Tensor | None, positions: Tensor, cache: Any
    ) -> Tensor:
        """Reads ``[B, T, D]`` under a ``[B, 1, T, K + T]`` mask; gives ``[B, T, h]``.

        Without a mask, every token sees itself and what comes before it.
        """
        hidden, rotary = self._begin(embeddings, positions)
        for layer in self.layers:
            hidden = layer(
                hidden, attention_mask=mask, position_embeddings=rotary, **{_CACHE: cache}
            )
        normed: Tensor = self.norm(hidden)
        return normed

    def keys_and_values(
        self, embeddings: Tensor, mask: Tensor | None, positions: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What the blocks would keep, each ``[B, H, T, d]``: of the last, nothing else is run."""
        hidden, rotary = self._begin(embeddings, positions)
        kept = _Recorder()
        for layer in self.layers[:-1]:
            hidden = layer(
                hidden, attention_mask=mask, position_embeddings=rotary, **{_CACHE: kept}
            )
        last: Any = self.layers[-1]
        normed, attention = last.input_layernorm(hidden), last.self_attn
        heads = (*normed.shape[:-1], -1, attention.head_dim)
        keys = attention.k_proj(normed).view(heads).transpose(1, 2)
        values = attention.v_proj(normed).view(heads).transpose(1, 2)
        _, keys = apply_rotary_pos_emb(keys, keys, *rotary)
        return [*kept.keys, keys], [*kept.values, values]

    def _begin(self, embeddings: Tensor, positions: Tensor) -> tuple[Tensor, Any]:
        hidden = self.down(embeddings)
        return hidden, self.rotary(hidden, position_ids=positions)


class _Recorder:
    """Stands where a cache would: keeps the keys and values that the blocks make."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        self.keys.append(keys)
        self.values.append(values)
        return keys, values


class _Reader:
    """Stands where a cache would: puts the knowledge before what the blocks have read.

    What the prompt and the generated tokens leave goes into ``cache``, the base model's own, as
    layers ``first_layer`` onwards: beams, rollbacks and expansion reach it there.
    """

    def __init__(
        self,
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        first_block: int,
        cache: Any,
        first_layer: int,
    ) -> None:
        self.keys, self.values, self.first_block = keys, values, first_block
        self.cache, self.first_layer = cache, first_layer

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        block = self.first_block + layer
        if self.cache is not None:
            keys, values = self.cache.update(keys, values, self.first_layer + block)
        return (
            torch.cat([self.keys[block].to(keys), keys], 2),
            torch.cat([self.values[block].to(values), values], 2),
        )


class Encoders(PreTrainedModel):
    """The encoders of one base model: what is trained, saved and loaded.

    Weights are keyed by decoder layer number and hold nothing of the base model.

    Args:
        config: Their shape.

    Example:
        >>> config = DiekaeConfig(
        ...     layers=[1, 3], base_num_hidden_layers=4, base_hidden_size=32,
        ...     hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        ... )
        >>> encoders = Encoders(config)
        >>> states = encoders.encode_passages(torch.randn(2, 5, 32), torch.ones(2, 5).bool())
        >>> states.keys.shape
        torch.Size([2, 2, 2, 5, 8])
    """

    config_class = DiekaeConfig
    base_model_prefix = "encoders"
    _supports_sdpa = True
    supports_gradient_checkpointing = False
    config: DiekaeConfig

    def __init__(self, config: DiekaeConfig) -> None:
        super().__init__(config)
        names = ["shared"] if config.sharing == "shared" else list(map(str, config.layers))
        self.bodies = nn.ModuleDict({name: EncoderBody(config) for name in names})
        self.up = nn.ModuleDict(
            {
                str(layer): nn.Linear(config.hidden_size, config.base_hidden_size, bias=False)
                for layer in config.layers
            }
        )
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Up-projections start at zero: an untrained encoder leaves the base model as it is."""
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.Linear) and module in set(getattr(self, "up", {}).values()):
            nn.init.zeros_(module.weight)

    @property
    def num_blocks(self) -> int:
        """N: how many blocks all bodies have together; each is one layer of the shared cache."""
        return self.config.num_bodies * self.config.num_hidden_layers

    def encode_passages(self, embeddings: Tensor, mask: Tensor) -> PassageStates:
        """Reads texts, each alone from position 0, and keeps what the prompt will attend to.

        Args:
            embeddings: The base model's embeddings, ``[P, K, D]``, padded on the right.
            mask: ``[P, K]`` bool, true at real tokens.
        """
        visible, positions = self._seen(mask)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for body in self.bodies.values():
            assert isinstance(body, EncoderBody)
            own = body.keys_and_values(embeddings, visible, positions)
            keys += own[0]
            values += own[1]
        return PassageStates(torch.stack(keys), torch.stack(values), mask)

    def read_passages(self, embeddings: Tensor, mask: Tensor) -> tuple[PassageStates, Tensor]:
        """As ``encode_passages``, and beside it the last body's reading of them, ``[P, K, h]``."""
        visible, positions = self._seen(mask)
        kept = _Recorder()
        for body in self.bodies.values():
            hidden = body(embeddings, visible, positions, kept)
        return PassageStates(torch.stack(kept.keys), torch.stack(kept.values), mask), hidden

    def _seen(self, mask: Tensor) -> tuple[Tensor | None, Tensor]:
        """What a passage's tokens see, and their positions.

        Read causally they need no mask, which attention is fastest without: padding comes last.
        """
        width = mask.shape[1]
        positions = torch.arange(width, device=mask.device)[None]
        if self.config.passage_direction == "causal":
            return None, positions
        itself = torch.eye(width, dtype=torch.bool, device=mask.device)
        return (mask[:, None, :] | itself)[:, None], positions  # padding sees itself too

    def forward(
        self,
        embeddings: Tensor,
        mask: Tensor,
        positions: Tensor,
        knowledge: Knowledge,
        cache: Any = None,
        first_layer: int = 0,
    ) -> dict[int, Tensor]:
        """Reads the prompt (or a piece of it) after the knowledge.

        Args:
            embeddings: The base model's embeddings of the tokens, ``[B, T, D]``.
            mask: ``[B, T, S]`` bool: for each token, which of the ``S`` cached or present tokens it
                may see; knowledge not counted.
            positions: ``[B, T]`` long.
            knowledge: What every row may attend to.
            cache: A transformers ``Cache`` that keeps what was read; ``None`` keeps nothing.
            first_layer: The first of the cache's layers that are ours.

        Returns:
            For each injected layer its delta, ``[B, T, D]``.
        """
        seen = knowledge.mask[:, None, :].expand(-1, mask.shape[1], -1)
        full = torch.cat([seen, mask], 2)[:, None]
        # Apart at once: taken out block by block, each would get a gradient as large as all.
        known = knowledge.keys.unbind(0), knowledge.values.unbind(0)
        hidden: dict[str, Tensor] = {}
        for index, (name, body) in enumerate(self.bodies.items()):
            first_block = index * self.config.num_hidden_layers
            reader = _Reader(*known, first_block, cache, first_layer)
            hidden[name] = body(embeddings, full, positions, reader)
        return {
            layer: self.up[str(layer)](hidden.get("shared", hidden.get(str(layer))))
            for layer in self.config.layers
        }


AutoConfig.register("diekae", DiekaeConfig, exist_ok=True)
AutoModel.register(DiekaeConfig, Encoders, exist_ok=True)

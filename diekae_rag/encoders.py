"""Knowledge and prompt in, a delta per injected layer out.

Axes: B rows, T positions of this pass, K knowledge positions, P passages, D width of the base
model, E bodies (one for each layer, or one for all), h width of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, LlamaConfig, PreTrainedModel
from transformers.models.llama.modeling_llama import (
    LlamaDecoderLayer,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
)

from diekae_rag.blocks import Blocks, rms_norm
from diekae_rag.changes import Changes, weights_in
from diekae_rag.config import DiekaeConfig
from diekae_rag.states.knowledge import Knowledge, KnowledgeApart
from diekae_rag.states.tensors import PassageStates

__all__ = ["Encoders"]


class EncoderBody(nn.Module):
    """The weights of one encoder up to its norm: base embedding -> down -> blocks -> RMSNorm.

    They are laid out as transformers lays out a LLaMA's; ``Encoders`` runs all bodies as one.
    """

    def __init__(self, config: DiekaeConfig, blocks: LlamaConfig) -> None:
        super().__init__()
        self.down = nn.Linear(config.base_hidden_size, config.hidden_size, bias=False)
        self.layers = nn.ModuleList(
            LlamaDecoderLayer(blocks, index) for index in range(config.num_hidden_layers)
        )
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class _Stacked(NamedTuple):
    """What all bodies compute with: ``[E * h, D]``, blocks, ``[E, h]`` and ``[L, D, h]``."""

    down: Tensor
    blocks: list[Blocks]
    norm: Tensor
    up: Tensor


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
        >>> states.keys.shape  # one block; two passages; two bodies of two heads
        torch.Size([1, 2, 4, 5, 8])
    """

    config_class = DiekaeConfig
    base_model_prefix = "encoders"
    _supports_sdpa = True
    supports_gradient_checkpointing = False
    config: DiekaeConfig

    def __init__(self, config: DiekaeConfig) -> None:
        super().__init__(config)
        blocks = LlamaConfig(
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            rms_norm_eps=config.rms_norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            max_position_embeddings=1 << 20,
        )
        names = ["shared"] if config.sharing == "shared" else list(map(str, config.layers))
        self.bodies = nn.ModuleDict({name: EncoderBody(config, blocks) for name in names})
        self.rotary = LlamaRotaryEmbedding(blocks)
        self.up = nn.ModuleDict(
            {
                str(layer): nn.Linear(config.hidden_size, config.base_hidden_size, bias=False)
                for layer in config.layers
            }
        )
        self._stacked: _Stacked | None = None
        self._changes = Changes()
        self.post_init()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Up-projections start at zero: an untrained encoder leaves the base model as it is."""
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.Linear) and module in set(getattr(self, "up", {}).values()):
            nn.init.zeros_(module.weight)

    def stack(self) -> list[Blocks]:
        """The blocks of all bodies as one each, lowest first; gradient reaches the weights."""
        of_bodies = [list(body.get_submodule("layers").children()) for body in self._bodies]
        heads, eps = self.config.num_attention_heads, self.config.rms_norm_eps
        return [Blocks.stack(each, heads, eps) for each in zip(*of_bodies, strict=True)]

    def begin(self, embeddings: Tensor) -> Tensor:
        """``[B, T, D]`` as every body begins with it, ``[E, B, T, h]``."""
        return self._begin(embeddings, self._kept())

    def _begin(self, embeddings: Tensor, kept: _Stacked | None) -> Tensor:
        if kept is None:
            return torch.stack([body.get_submodule("down")(embeddings) for body in self._bodies])
        begun = functional.linear(embeddings, kept.down)
        apart = begun.view(*begun.shape[:2], len(self._bodies), self.config.hidden_size)
        return apart.permute(2, 0, 1, 3).contiguous()

    def encode_passages(
        self,
        embeddings: Tensor,
        mask: Tensor,
        blocks: Sequence[Blocks] | None = None,
        after: PassageStates | None = None,
    ) -> PassageStates:
        """Reads texts, each alone from position 0, and keeps what the prompt will attend to.

        Of the last block only that is computed.

        Args:
            embeddings: The base model's embeddings, ``[P, K, D]``, padded on the right.
            mask: ``[P, K]`` bool, true at real tokens.
            blocks: What ``stack`` gave, where a training step reads more than once.
            after: The states of what comes before the only text, with which its own are given;
                only read causally can a text be read in two parts.
        """
        return self._read_passages(self.begin(embeddings), mask, blocks, after, is_whole=False)[0]

    def encode_begun(
        self, begun: Tensor, mask: Tensor, after: PassageStates | None = None
    ) -> PassageStates:
        """As ``encode_passages``, of what ``begin`` gave or would give."""
        return self._read_passages(begun, mask, None, after, is_whole=False)[0]

    def read_passages(
        self, embeddings: Tensor, mask: Tensor, blocks: Sequence[Blocks] | None = None
    ) -> tuple[PassageStates, Tensor]:
        """As ``encode_passages``, and beside it the last body's reading of them, ``[P, K, h]``."""
        begun = self.begin(embeddings)
        states, hidden = self._read_passages(begun, mask, blocks, None, is_whole=True)
        return states, self._norm(hidden, self._kept())[-1]

    def forward(
        self,
        embeddings: Tensor,
        mask: Tensor,
        positions: Tensor,
        knowledge: Knowledge | KnowledgeApart,
        cache: Any = None,
        first_layer: int = 0,
        blocks: Sequence[Blocks] | None = None,
    ) -> dict[int, Tensor]:
        """Reads the prompt (or a piece of it) after the knowledge.

        Args:
            embeddings: The base model's embeddings of the tokens, ``[B, T, D]``.
            mask: ``[B, T, S]`` bool: for each token, which of the ``S`` cached or present tokens it
                may see; knowledge not counted.
            positions: ``[B, T]`` long.
            knowledge: What every row may attend to.
            cache: A transformers ``Cache`` that keeps what was read; ``None`` keeps nothing. Beams,
                rollbacks and expansion reach it there.
            first_layer: The first of the cache's layers that are ours.
            blocks: What ``stack`` gave, where a training step reads more than once.

        Returns:
            For each injected layer its delta, ``[B, T, D]``.
        """
        seen = knowledge.mask[:, None, :].expand(-1, mask.shape[1], -1)
        full = torch.cat([seen, mask], 2)[:, None]
        count = knowledge.mask.shape[1]
        is_roomy = not torch.is_grad_enabled() and mask.shape[2] <= knowledge.room
        known = iter(knowledge.blocks())
        kept = self._kept()
        hidden = self._begin(embeddings, kept)
        rotary = self.rotary(embeddings, position_ids=positions)
        for number, block in enumerate(blocks or self._blocks(kept)):

            def remember(keys: Tensor, values: Tensor, n: int = number) -> tuple[Tensor, Tensor]:
                if cache is not None:
                    keys, values = cache.update(keys, values, first_layer + n)
                known_keys, known_values = next(known)
                if is_roomy:
                    return _behind(known_keys, count, keys), _behind(known_values, count, values)
                return (
                    torch.cat([known_keys[:, :, :count].to(keys), keys], 2),
                    torch.cat([known_values[:, :, :count].to(values), values], 2),
                )

            hidden = block.run(hidden, rotary, full, remember)
        return self._lift(self._norm(hidden, kept), kept)

    def _lift(self, hidden: Tensor, kept: _Stacked | None) -> dict[int, Tensor]:
        """What the bodies give, ``[E, B, T, h]``, as each layer's delta, ``[B, T, D]``."""
        layers = self.config.layers
        if kept is None:
            bodies = dict(zip(self.bodies, hidden, strict=True))
            of = {layer: bodies.get("shared", bodies.get(str(layer))) for layer in layers}
            return {layer: self.up[str(layer)](of[layer]) for layer in layers}
        flat = hidden.flatten(1, 2).expand(len(layers), -1, -1)
        deltas = torch.bmm(flat, kept.up.transpose(1, 2)).view(len(layers), *hidden.shape[1:3], -1)
        return dict(zip(layers, deltas, strict=True))

    def _read_passages(
        self,
        hidden: Tensor,
        mask: Tensor,
        blocks: Sequence[Blocks] | None,
        after: PassageStates | None,
        *,
        is_whole: bool,
    ) -> tuple[PassageStates, Tensor]:
        """Their states, and what the blocks give, ``[E, P, K, h]``; the last one's only if whole.

        Read causally, attention needs no mask and is fastest without: padding comes last.
        """
        visible = None
        if self.config.passage_direction == "both":
            itself = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
            visible = (mask[:, None, :] | itself)[:, None]  # padding sees itself too
        positions = torch.arange(mask.shape[1], device=mask.device)[None]
        if after is not None:
            start = after.mask.shape[1]
            positions = positions + start
            slots = torch.arange(start + mask.shape[1], device=mask.device)
            visible = (slots <= positions[0, :, None])[None, None]
            mask = torch.cat([after.mask, mask], 1)
        rotary = self.rotary(hidden[0], position_ids=positions)
        kept: list[tuple[Tensor, Tensor]] = []

        def remember(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            if after is not None:
                keys = torch.cat([after.keys[len(kept)], keys], 2)
                values = torch.cat([after.values[len(kept)], values], 2)
            kept.append((keys, values))
            return keys, values

        *lower, last = blocks or self._blocks(self._kept())
        for block in lower:
            hidden = block.run(hidden, rotary, visible, remember)
        if is_whole:
            hidden = last.run(hidden, rotary, visible, remember)
        else:
            remember(*last.keys_and_values(hidden, rotary))
        keys, values = zip(*kept, strict=True)
        return PassageStates(torch.stack(keys), torch.stack(values), mask), hidden

    def _norm(self, hidden: Tensor, kept: _Stacked | None) -> Tensor:
        if kept is not None:
            weights = kept.norm
        else:
            weights = torch.stack([body.get_parameter("norm.weight") for body in self._bodies])
        return rms_norm(hidden, weights[:, None], self.config.rms_norm_eps)

    @property
    def _bodies(self) -> list[nn.Module]:
        return list(self.bodies.values())

    def _blocks(self, kept: _Stacked | None) -> list[Blocks]:
        return self.stack() if kept is None else kept.blocks

    def __getstate__(self) -> dict[str, Any]:
        """Without what is computed from the weights."""
        return {**self.__dict__, "_stacked": None, "_changes": Changes()}

    def _kept(self) -> _Stacked | None:
        """All weights, stacked again only when they change; ``None`` where gradient is to flow."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        if self._changes.have_come(weights_in(self)) or self._stacked is None:
            self._stacked = _Stacked(
                torch.cat([body.get_parameter("down.weight") for body in self._bodies]),
                self.stack(),
                torch.stack([body.get_parameter("norm.weight") for body in self._bodies]),
                torch.stack([up.get_parameter("weight") for up in self.up.values()]),
            )
        return self._stacked


def _behind(known: Tensor, count: int, fresh: Tensor) -> Tensor:
    """``count`` positions that are known and then the fresh ones, written into the room there."""
    end = count + fresh.shape[2]
    known[:, :, count:end] = fresh
    return known[:, :, :end]


AutoConfig.register("diekae", DiekaeConfig, exist_ok=True)
AutoModel.register(DiekaeConfig, Encoders, exist_ok=True)

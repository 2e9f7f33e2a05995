"""What a stage of the encoders' training minimises: what all of them share.

Axes: B episodes, P passages each, K positions of a passage, T positions of a row of questions,
N blocks, H heads, d head size, D width of the base model, V vocabulary.

No stage changes the base model. Warm-up does not even run it; distillation runs it forwards only;
fine-tuning sends gradient through it to the encoders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from diekae_rag.encoders import Encoders
from diekae_rag.injection import Injection
from diekae_rag.states import Knowledge
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, InjectedBatch, PackedBatch

__all__ = ["Batch", "Objective"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's examples.

    Args:
        injected: The passages apart from the questions.
        stuffed: The passages before the questions; only distillation reads it.
        targets: What distillation would find with the base model, where it was kept on disk; see
            ``dump_targets``.
        num_kept: How many rows, the last ones, are about what is not to change; only the writing of
            edits reads it.
    """

    injected: InjectedBatch
    stuffed: PackedBatch | None = None
    targets: Mapping[str, Tensor] | None = None
    num_kept: int = 0

    @property
    def num_tokens(self) -> int:
        """Real tokens that the encoders read."""
        return self.injected.questions.num_tokens + int(self.injected.passage_mask.sum())

    @property
    def for_teacher(self) -> PackedBatch:
        """What the stuffed model reads.

        Raises:
            ValueError: The batch was drawn without it.
        """
        if self.stuffed is None:
            raise ValueError(
                "distillation needs the stuffed rows beside the injected ones, and this batch has "
                "none; draw it with pack_stuffed too."
            )
        return self.stuffed

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        targets = self.targets and {k: v.to(device) for k, v in self.targets.items()}
        stuffed = self.stuffed and self.stuffed.to(device)
        return Batch(self.injected.to(device), stuffed, targets, self.num_kept)


class Objective(nn.Module, ABC):
    """A loss over a batch; its only parameters are the encoders'.

    Args:
        base: The frozen base model.
        encoders: What is trained.
        injection: The hooks that join the two; only where ``needs_injection``.
        is_compiled: Compile the encoders; see ``BaseParts``.

    Raises:
        ValueError: No injection where one is needed.
    """

    needs_stuffed = False
    needs_injection = False

    def __init__(
        self,
        base: BaseParts,
        encoders: Encoders,
        injection: Injection | None = None,
        *,
        is_compiled: bool = False,
    ) -> None:
        super().__init__()
        self.encoders = encoders
        # In a tuple, the base model stays out of what is wrapped, moved and saved with us.
        self._frozen, self._injection = (base,), injection
        compiler = torch.compile if is_compiled else lambda f, **_: f
        self._encode = compiler(self._encode_eagerly, dynamic=False)
        self._losses = compiler(self._losses_eagerly, dynamic=False)

    @property
    def base(self) -> BaseParts:
        """The frozen base model."""
        return self._frozen[0]

    @property
    def injection(self) -> Injection:
        """The hooks that join encoders and base model.

        Raises:
            ValueError: There are none.
        """
        if self._injection is None:
            raise ValueError(f"{type(self).__name__} injects: pass injection=.")
        return self._injection

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss ``[]`` and figures ``[]`` of one batch."""

    def deltas(self, batch: InjectedBatch) -> dict[int, Tensor]:
        """What would be added at each layer, ``[B, T, D]``."""
        return self._deltas(batch, is_read=False)[0]

    def deltas_and_reading(self, batch: InjectedBatch) -> tuple[dict[int, Tensor], Tensor]:
        """The same, and the last body's reading of the passages, ``[S, K, h]``."""
        deltas, reading = self._deltas(batch, is_read=True)
        assert reading is not None
        return deltas, reading

    def injected(self, batch: InjectedBatch) -> dict[int, Tensor]:
        """The deltas just as ``Injection`` adds them: zero where it adds nothing."""
        roles = batch.questions.roles
        here = roles != 0
        if self.encoders.config.positions == "prompt":
            here &= roles != ANSWER
        if self.encoders.config.knowledge_in == "passages":
            here &= (batch.rows >= 0).any(1)[:, None]
        deltas = self.deltas(batch)
        return {layer: torch.where(here[..., None], d, 0.0) for layer, d in deltas.items()}

    def _deltas(
        self, batch: InjectedBatch, *, is_read: bool
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        q = batch.questions
        dtype = self.encoders.dtype
        passages = self.base.embed(batch.passage_ids).to(dtype)
        questions = self.base.embed(q.input_ids).to(dtype)
        mask, at = q.attention_mask[:, 0], q.position_ids + batch.starts[:, None]
        return self._encode(passages, batch.passage_mask, batch.rows, questions, mask, at, is_read)

    def _encode_eagerly(
        self,
        passages: Tensor,
        passage_mask: Tensor,
        rows: Tensor,
        questions: Tensor,
        mask: Tensor,
        at: Tensor,
        is_read: bool,
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        blocks, reading = self.encoders.stack(), None
        if is_read:
            states, reading = self.encoders.read_passages(passages, passage_mask, blocks)
        else:
            states = self.encoders.encode_passages(passages, passage_mask, blocks)
        known = (passage_mask[rows] & (rows >= 0)[:, :, None]).flatten(1)

        def beside(states: Tensor) -> Tensor:
            """``[N, S, H, K, d]`` to ``[N, B, H, P * K, d]``."""
            read = states.index_select(1, rows.clamp(min=0).flatten())
            apart = read.view(len(states), *rows.shape, *states.shape[2:])
            return apart.transpose(2, 3).flatten(3, 4)

        knowledge = Knowledge(beside(states.keys), beside(states.values), known, at[:, 0])
        return self.encoders(questions, mask, at, knowledge, blocks=blocks), reading

    def _losses_eagerly(self, normed: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each next token, ``[B, T - 1]``, in nats, and whether it was the likeliest."""
        logits, targets = self.base.logits(normed[:, :-1]), ids[:, 1:]
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view_as(targets), logits.argmax(-1) == targets

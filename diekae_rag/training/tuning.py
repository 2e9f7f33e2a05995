"""Training a base model itself, in full or by adapters: what encoders are measured against.

Axes: B rows, T positions of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, PASSAGE, QUESTION, PackedBatch

__all__ = ["Tuning"]


class Tuning(nn.Module):
    """Language-model loss of a base model on the answers of packed rows.

    Only tokens that weigh something get logits. A token's loss depends on what its own question may
    see and on nothing else in the row.

    Args:
        model: What is trained: those of its parameters that require gradient.
        passage_weight: Weight of the mean loss on the passages' tokens, beside the answers' 1.
        question_weight: Weight of the mean loss on the questions' tokens.
        is_compiled: Compile the decoder: worth its minute with rows of one length.

    Raises:
        ValueError: A negative weight.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        passage_weight: float = 0.0,
        question_weight: float = 0.0,
        is_compiled: bool = False,
    ) -> None:
        super().__init__()
        if passage_weight < 0 or question_weight < 0:
            raise ValueError(
                f"weights must not be negative, got {passage_weight} and {question_weight}."
            )
        self.model = model
        self.weights = {ANSWER: 1.0, PASSAGE: passage_weight, QUESTION: question_weight}
        self._parts = (BaseParts(model, is_trained=True, is_compiled=is_compiled),)
        # As transformers names them: FSDP makes a unit of each.
        self._no_split_modules = sorted({type(x).__name__ for x in self._parts[0].layers})

    def forward(self, batch: PackedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss ``[]`` in nats a token and figures ``[]`` of one batch."""
        parts = self._parts[0]
        roles, before = batch.roles[:, 1:], batch.roles[:, :-1]
        wanted = {role: roles == role for role, weight in self.weights.items() if weight}
        if QUESTION in wanted:
            wanted[QUESTION] &= before == QUESTION  # nothing foretells a question's first token
        scored = torch.stack(list(wanted.values())).any(0)
        logits = parts.logits(parts.read(batch)[:, :-1][scored])
        targets = batch.input_ids[:, 1:][scored]
        losses = functional.cross_entropy(logits, targets, reduction="none")
        loss = torch.zeros((), device=losses.device)
        for role, here in wanted.items():
            if role == ANSWER or here.any():
                loss = loss + self.weights[role] * losses[here[scored]].mean()
        answers = wanted[ANSWER][scored]
        right = (logits.argmax(-1) == targets)[answers].float().mean()
        return loss, {"answers": losses[answers].mean().detach(), "tokens right": right}

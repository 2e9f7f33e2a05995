"""Fine-tuning: the encoders learn from what the injected base model answers."""

from __future__ import annotations

from torch import Tensor

from diekae_rag.training.batches import ANSWER
from diekae_rag.training.objectives import Batch, Objective

__all__ = ["Finetuning"]


class Finetuning(Objective):
    """Language-model loss on the answers, through the frozen base model with injection."""

    needs_injection = True

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss in nats a token of the answers."""
        q = batch.injected.questions
        with self.injection.adding(self.injected(batch.injected)):
            normed = self.base.read(q)
        losses, right = self._losses(normed, q.input_ids)
        answers = q.roles[:, 1:] == ANSWER
        return losses[answers].mean(), {"tokens right": right[answers].float().mean()}

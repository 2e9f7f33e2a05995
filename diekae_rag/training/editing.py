"""Writing edits: the encoders learn new answers, and to add nothing elsewhere.

Axes: B rows of questions, T positions, D width of the base model.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.training.batches import ANSWER, Episode, PackedBatch, pack_for_injection
from diekae_rag.training.objectives import Batch, Objective

__all__ = ["Editing", "pack_edits"]


def pack_edits(
    edited: Sequence[Episode],
    kept: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
) -> Batch:
    """Lays out questions about edits and, after them, about what is not to change."""
    injected = pack_for_injection([*edited, *kept], tokenizer, config)
    return Batch(injected, num_kept=len(kept))


class Editing(Objective):
    """Language-model loss on the edits' answers, and how far the rest is from the base model's.

    The second is the divergence of the base model's next-token distribution, with injection, from
    that without: the term that keeps an edit from spilling over (as in ROME, arXiv 2202.05262).
    """

    needs_injection = True

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss in nats a token: of the edits' answers, and of what is not edited."""
        q, first = batch.injected.questions, len(batch.injected.rows) - batch.num_kept
        with self.injection.adding(self.injected(batch.injected)):
            normed = self.base.read(q)
        here = q.roles[:first, 1:] == ANSWER
        logits, targets = self.base.logits(normed[:first, :-1][here]), q.input_ids[:first, 1:][here]
        loss = functional.cross_entropy(logits, targets)
        changed = self._changed(q.last(batch.num_kept), normed[first:])
        right = (logits.argmax(-1) == targets).float().mean()
        return loss + changed, {"answers": loss, "tokens right": right, "changed": changed}

    def _changed(self, kept: PackedBatch, normed: Tensor) -> Tensor:
        """Divergence at every position that foretells another token of its own question.

        Args:
            kept: What is read.
            normed: What the final norm gave with injection, ``[B, T, D]``.
        """
        follows = kept.position_ids[:, 1:] == kept.position_ids[:, :-1] + 1
        here = (kept.roles[:, 1:] != 0) & follows
        with torch.no_grad():
            before = self.base.logits(self.base.read(kept)[:, :-1][here]).log_softmax(-1)
        after = self.base.logits(normed[:, :-1][here]).log_softmax(-1)
        return functional.kl_div(after, before, reduction="batchmean", log_target=True)

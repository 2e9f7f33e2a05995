"""Warm-up: the encoders learn to read before the base model is to hear them.

Axes: B episodes, T positions of a row of questions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diekae_rag.training.batches import ANSWER, QUESTION
from diekae_rag.training.objectives import Batch, Objective

__all__ = ["Warmup", "amplify"]


class Warmup(Objective):
    """The encoders as language models of their own, through up-projection and the frozen head.

    The base model is not run. Without this, whatever the later stages do, no copying appears.
    """

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss on answers, and a little on prompts and on what is read causally."""
        b, config = batch.injected, self.encoders.config
        reads = config.passage_direction == "causal"
        deltas, reading = self.deltas_and_reading(b) if reads else (self.deltas(b), None)
        q = b.questions
        roles, before = q.roles[:, 1:], q.roles[:, :-1]
        answers = roles == ANSWER
        heads = config.layers[-1:] if config.sharing == "shared" else config.layers
        total = share = torch.zeros((), device=answers.device)
        for layer in heads:
            losses, right = self._losses(self.base.norm(deltas[layer]), q.input_ids)
            asked = losses[(roles == QUESTION) & (before == QUESTION)].mean()
            total = total + losses[answers].mean() + 0.05 * asked
            share = right[answers].float().mean()
        if reading is not None:
            read = self.base.norm(self.encoders.up[str(heads[-1])](reading))
            losses, _ = self._losses(read, b.passage_ids)
            total = total + 0.2 * losses[b.passage_mask[:, 1:]].mean()
        return total / len(heads), {"tokens right": share}


@torch.no_grad()
def amplify(objective: Objective, batch: Batch, margin: float = 4.0) -> None:
    """Makes the last layer's delta ``margin`` times as large as what it is added to.

    Warm-up reads the delta through a norm, so its size is left to chance; added to a base model
    that is sure it does not know, a small one would go unheard. Scaled up, the injected model
    begins the next stage where the encoder alone ended.
    """
    q, last = batch.injected.questions, objective.encoders.config.layers[-1]
    foretelling = (q.roles == ANSWER)[:, 1:]
    with torch.compiler.set_stance("force_eager"):  # one batch is not worth compiling for
        deltas = objective.injected(batch.injected)[last][:, :-1][foretelling]
        if batch.targets is None:
            bare = objective.base.read_before_norm(q)[:, :-1][foretelling]
        else:
            bare = batch.targets["bare"]
    ratio = bare.float().norm() / deltas.float().norm()
    objective.encoders.get_submodule(f"up.{last}").get_parameter("weight").mul_(margin * ratio)

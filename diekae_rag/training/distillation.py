"""Distillation: the encoders learn what passages in the prompt change, with no way back through it.

Axes: B episodes, T positions of a row, D width of the base model.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from diekae_rag.encoders import Encoders
from diekae_rag.injection import Injection
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, QUESTION, PackedBatch
from diekae_rag.training.objectives import Batch, Objective
from diekae_rag.training.side_by_side import SideBySide, without_answers

__all__ = ["Differences", "Outputs"]


class Outputs(Objective):
    """Distillation onto the stuffed model's output distribution.

    The base model reads forwards only, stuffed and bare; one delta is added to what reaches the
    final norm of the bare reading, so that no gradient passes any decoder layer.

    Raises:
        ValueError: The encoders do not inject into the last decoder layer.
    """

    needs_stuffed = True

    def __init__(
        self,
        base: BaseParts,
        encoders: Encoders,
        injection: Injection | None = None,
        *,
        is_compiled: bool = False,
    ) -> None:
        super().__init__(base, encoders, injection, is_compiled=is_compiled)
        config = encoders.config
        if config.layers[-1] != config.base_num_hidden_layers - 1:
            raise ValueError(
                f"distilling onto outputs needs an injection at the last decoder layer, "
                f"{config.base_num_hidden_layers - 1}; the encoders inject at {config.layers}. "
                "Add that layer, or distil onto differences."
            )

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Divergence from the stuffed model's distribution, in nats a token of the answers."""
        b = batch.injected
        q, last = b.questions, self.encoders.config.layers[-1]
        found = self.targets(batch) if batch.targets is None else batch.targets
        answers = self.positions(q)[:, 1:]
        student = found["bare"] + self.injected(b)[last][:, :-1][answers]
        logits = self.base.logits(self.base.norm(student))
        with torch.no_grad():
            target = self.base.logits(self.base.norm(found["stuffed"])).log_softmax(-1)
        loss = functional.kl_div(
            logits.log_softmax(-1), target, reduction="batchmean", log_target=True
        )
        right = logits.argmax(-1) == q.input_ids[:, 1:][answers]
        return loss, {"tokens right": right.float().mean()}

    @torch.no_grad()
    def targets(self, batch: Batch) -> dict[str, Tensor]:
        """What reaches the final norm where an answer is foretold, ``[positions, D]``.

        Returns:
            ``stuffed``, with the passages in the prompt, and ``bare``, without.
        """
        both = SideBySide(batch.for_teacher, batch.injected.questions)
        foretelling = functional.pad(self.positions(both.batch)[:, 1:], (0, 1))
        found = self.base.read_before_norm(both.batch)[foretelling]
        return dict(zip(("stuffed", "bare"), both.apart(found, foretelling), strict=True))

    def positions(self, batch: PackedBatch) -> Tensor:
        """``[B, T]`` bool: the answers' tokens."""
        return batch.roles == ANSWER


class Differences(Objective):
    """The paper's distillation: squared error on what knowledge changes at each injected layer.

    The base model reads the prompt with the passages and without, up to the highest injected layer,
    and gets no gradient.

    Args:
        base, encoders, injection, is_compiled: As for ``Objective``.
        is_on_policy: Take the difference to the stream that is injected already below a layer, and
            not to the bare one (the paper's), which counts lower layers' work twice.
    """

    needs_stuffed = True

    def __init__(
        self,
        base: BaseParts,
        encoders: Encoders,
        injection: Injection | None = None,
        *,
        is_compiled: bool = False,
        is_on_policy: bool = False,
    ) -> None:
        super().__init__(base, encoders, injection, is_compiled=is_compiled)
        self.is_on_policy = self.needs_injection = is_on_policy

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Squared error summed over D, averaged over real positions and layers."""
        deltas = self.injected(batch.injected)
        found = self.targets(batch, deltas) if batch.targets is None else batch.targets
        here = self.positions(batch.injected.questions)
        errors, sizes = [], []
        for layer in self.encoders.config.layers:
            target = found[str(layer)].float()
            errors.append((deltas[layer][here].float() - target).square().sum(-1).mean())
            sizes.append(target.square().sum(-1).mean())
        loss, size = torch.stack(errors).mean(), torch.stack(sizes).mean()
        return loss, {"normalised error": loss.detach() / size.clamp(min=1e-12)}

    @torch.no_grad()
    def targets(
        self, batch: Batch, deltas: Mapping[int, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """For each layer the difference at the trained positions, ``[positions, D]``, float32.

        Args:
            batch: What is read.
            deltas: What the encoders add; only on-policy differences depend on it.
        """
        if self.is_on_policy:
            return self._relative(batch, deltas or self.injected(batch.injected))
        stuffed, bare = batch.for_teacher, batch.injected.questions
        if self.encoders.config.positions == "prompt":
            stuffed, bare = without_answers(stuffed), without_answers(bare)
        both = SideBySide(stuffed, bare)
        at = self.positions(both.batch)
        targets = {}
        for layer, found in self._outputs(both.batch).items():
            taught, own = both.apart(found, at)
            targets[str(layer)] = taught.float() - own.float()
        return targets

    def _relative(self, batch: Batch, deltas: Mapping[int, Tensor]) -> dict[str, Tensor]:
        """The differences to the injected stream; the highest layer's own delta moves no other."""
        q = batch.injected.questions
        taught, here = self._outputs(batch.for_teacher), self.positions(q)
        given = {layer: deltas[layer].detach() for layer in list(taught)[:-1]}
        with self.injection.adding(given):
            own = {layer: output.float() for layer, output in self._outputs(q).items()}
        for layer, delta in given.items():
            own[layer] = own[layer] - delta[here].float()  # seen after it was added
        return {str(layer): taught[layer].float() - own[layer] for layer in taught}

    def _outputs(self, batch: PackedBatch) -> Mapping[int, Tensor]:
        """By layer, lowest first, ``[positions, D]``."""
        config = self.encoders.config
        return self.base.outputs_at(batch, list(config.layers), config.site, self.positions(batch))

    def positions(self, batch: PackedBatch) -> Tensor:
        """``[B, T]`` bool: the prompts' tokens and, where they are injected into, the answers'."""
        here = batch.roles == QUESTION
        if self.encoders.config.positions == "all":
            here |= batch.roles == ANSWER
        return here

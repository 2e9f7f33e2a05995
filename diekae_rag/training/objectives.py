"""What each stage of the encoders' training minimises.

Axes: B episodes, P passages each, K positions of a passage, T positions of a row of questions,
N blocks, H heads, d head size, D width of the base model, V vocabulary.

No stage changes the base model. Warm-up does not even run it; distillation runs it forwards only;
fine-tuning sends gradient through it to the encoders.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from diekae_rag.encoders import Encoders
from diekae_rag.injection import Injection
from diekae_rag.states import Knowledge
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, QUESTION, InjectedBatch, PackedBatch

__all__ = ["Batch", "Differences", "Finetuning", "Objective", "Outputs", "Warmup", "amplify"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's examples.

    Args:
        injected: The passages apart from the questions.
        stuffed: The passages before the questions; only distillation reads it.
        targets: What distillation would find with the base model, where it was kept on disk; see
            ``dump_targets``.
    """

    injected: InjectedBatch
    stuffed: PackedBatch | None = None
    targets: Mapping[str, Tensor] | None = None

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
        return Batch(self.injected.to(device), self.stuffed and self.stuffed.to(device), targets)


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

    def deltas(self, batch: InjectedBatch) -> tuple[dict[int, Tensor], Tensor]:
        """What would be added at each layer, ``[B, T, D]``, and the reading of the passages.

        Returns:
            The deltas, and the last body's reading of the passages, ``[S, K, h]``.
        """
        q = batch.questions
        dtype = self.encoders.dtype
        passages = self.base.embed(batch.passage_ids).to(dtype)
        questions = self.base.embed(q.input_ids).to(dtype)
        mask, at = q.attention_mask[:, 0], q.position_ids + batch.starts[:, None]
        return self._encode(passages, batch.passage_mask, batch.rows, questions, mask, at)

    def injected(self, batch: InjectedBatch) -> dict[int, Tensor]:
        """The deltas just as ``Injection`` adds them: zero where it adds nothing."""
        roles = batch.questions.roles
        here = roles != 0
        if self.encoders.config.positions == "prompt":
            here &= roles != ANSWER
        here &= (batch.rows >= 0).any(1)[:, None]
        deltas, _ = self.deltas(batch)
        return {layer: torch.where(here[..., None], d, 0.0) for layer, d in deltas.items()}

    def _encode_eagerly(
        self,
        passages: Tensor,
        passage_mask: Tensor,
        rows: Tensor,
        questions: Tensor,
        mask: Tensor,
        at: Tensor,
    ) -> tuple[dict[int, Tensor], Tensor]:
        states, hidden = self.encoders.encode_passages_and_read(passages, passage_mask)
        known = (passage_mask[rows] & (rows >= 0)[:, :, None]).flatten(1)

        def beside(states: Tensor) -> Tensor:
            """``[N, S, H, K, d]`` to ``[N, B, H, P * K, d]``."""
            return states[:, rows].transpose(2, 3).flatten(3, 4)

        knowledge = Knowledge(beside(states.keys), beside(states.values), known, at[:, 0])
        return self.encoders(questions, mask, at, knowledge), hidden

    def _losses_eagerly(self, normed: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each next token, ``[B, T - 1]``, in nats, and whether it was the likeliest."""
        logits, targets = self.base.logits(normed[:, :-1]), ids[:, 1:]
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view_as(targets), logits.argmax(-1) == targets


class Warmup(Objective):
    """The encoders as language models of their own, through up-projection and the frozen head.

    The base model is not run. Without this, whatever the later stages do, no copying appears.
    """

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss on answers, and a little on prompts and on what is read causally."""
        b, config = batch.injected, self.encoders.config
        deltas, hidden = self.deltas(b)
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
        if config.passage_direction == "causal":
            read = self.base.norm(self.encoders.up[str(heads[-1])](hidden))
            losses, _ = self._losses(read, b.passage_ids)
            total = total + 0.2 * losses[b.passage_mask[:, 1:]].mean()
        return total / len(heads), {"tokens right": share}


class Outputs(Objective):
    """Distillation onto the stuffed model's output distribution.

    The base model runs forwards twice, stuffed and bare; one delta is added to what reaches the
    final norm of the bare one, so that no gradient passes any decoder layer.

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
        q, stuffed = batch.injected.questions, batch.for_teacher
        return {
            name: self.base.read_before_norm(read)[:, :-1][self.positions(read)[:, 1:]]
            for name, read in (("stuffed", stuffed), ("bare", q))
        }

    def positions(self, batch: PackedBatch) -> Tensor:
        """``[B, T]`` bool: the answers' tokens."""
        return batch.roles == ANSWER


class Differences(Objective):
    """The paper's distillation: squared error on what knowledge changes at each injected layer.

    The base model runs forwards twice, up to the highest injected layer, and gets no gradient.

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
        config, q, stuffed = self.encoders.config, batch.injected.questions, batch.for_teacher
        layers = list(config.layers)
        here, there = self.positions(q), self.positions(stuffed)
        taught = self.base.outputs_at(stuffed, layers, config.site, there)
        given: dict[int, Tensor] = {}
        if self.is_on_policy:  # the highest layer's own delta moves no other layer
            below = deltas or self.injected(batch.injected)
            given = {layer: below[layer].detach() for layer in layers[:-1]}
        with self.injection.adding(given) if self.is_on_policy else nullcontext():
            bare = self.base.outputs_at(q, layers, config.site, here)
        targets = {}
        for layer in layers:
            own = bare[layer].float()
            if layer in given:
                own = own - given[layer][here].float()  # seen after our own delta was added
            targets[str(layer)] = taught[layer].float() - own
        return targets

    def positions(self, batch: PackedBatch) -> Tensor:
        """``[B, T]`` bool: the prompts' tokens and, where they are injected into, the answers'."""
        here = batch.roles == QUESTION
        if self.encoders.config.positions == "all":
            here |= batch.roles == ANSWER
        return here


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

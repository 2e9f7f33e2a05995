"""How the demo's encoders are trained: warm-up, distillation, fine-tuning.

Axes: B episodes, P passages each, K positions of a passage, T positions of a row of questions,
N blocks, H heads, d head size, D width of the base model, V vocabulary.

No stage changes the base model. Warm-up does not even run it; distillation runs it forwards only
and learns through its final norm and head; fine-tuning sends gradient through it to the encoders.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.demo.batches import (
    ANSWER,
    QUESTION,
    InjectedBatch,
    pack_episodes,
    pack_for_injection,
)
from diekae_rag.demo.episodes import Episode
from diekae_rag.demo.reader import DEMO_WORDING, Phase, sample_episode
from diekae_rag.encoders import Encoders
from diekae_rag.injection import Injection
from diekae_rag.states import Knowledge

__all__ = ["STAGES", "Stage", "StageObjective"]

StageName = Literal["warmup", "distill", "finetune"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the encoders' training: its phases, its peak rate, and the steps up to it."""

    name: StageName
    phases: tuple[Phase, ...]
    learning_rate: float
    warmup_steps: int = 20

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return self.phases[-1].until


def _long(until: int) -> Phase:
    return Phase(until, (1, 5), (2, 5), 6, 0.25, 0.15, 24, 224)


STAGES = (
    Stage(
        "warmup",
        (
            Phase(450, (1, 2), (1, 2), 5, 0.1, 0.0, 32, 160),
            Phase(850, (1, 3), (1, 4), 6, 0.2, 0.1, 32, 224),
            _long(1000),
        ),
        2e-3,
        warmup_steps=100,
    ),
    Stage("distill", (_long(80),), 5e-4),
    Stage("finetune", (_long(280),), 5e-4),
)
"""Warm-up first: without it no copying appears, whatever the later stages do."""


class StageObjective:
    """The loss of one stage, as a function of the step's number.

    Args:
        stage: Which stage.
        base: The frozen reader.
        encoders: What is trained.
        injection: The hooks that join the two.
        tokenizer: The reader's.
        seed: Chooses the episodes.
    """

    def __init__(
        self,
        stage: Stage,
        base: LlamaForCausalLM,
        encoders: Encoders,
        injection: Injection,
        tokenizer: PreTrainedTokenizerBase,
        seed: int,
    ) -> None:
        self.stage, self.base, self.encoders = stage, base, encoders
        self.injection, self.tokenizer, self.seed = injection, tokenizer, seed
        self.last = str(encoders.config.layers[-1])
        self._encode = torch.compile(self._encode_eagerly, dynamic=False)
        self._read_base = torch.compile(self._read_base_eagerly, dynamic=False)
        self._losses = torch.compile(self._losses_eagerly, dynamic=False)
        self._objectives: dict[StageName, Callable[..., tuple[Tensor, Tensor]]] = {
            "warmup": self._warmup,
            "distill": self._distill,
            "finetune": self._finetune,
        }

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Loss and figures of one step."""
        phase = next((p for p in self.stage.phases if step < p.until), self.stage.phases[-1])
        episodes, batch = self._draw(phase, step)
        with torch.autocast(self.base.device.type, torch.bfloat16):
            loss, right = self._objectives[self.stage.name](episodes, batch, phase)
        return loss, {"tokens right": float(right)}

    @torch.no_grad()
    def amplify(self, margin: float = 4.0) -> None:
        """Makes the last layer's delta ``margin`` times as large as what it is added to.

        Warm-up reads the delta through a norm, so its size is left to chance; added to a base
        model that is sure it does not know, a small one would go unheard. Scaled up, the injected
        model begins the next stage where the trunk alone ended.
        """
        _, batch = self._draw(self.stage.phases[-1], 0)
        q = batch.questions
        with torch.compiler.set_stance("force_eager"):  # one batch is not worth compiling for
            deltas, _ = self._deltas(batch)
            bare = self._read_base(q.input_ids, q.position_ids, q.attention_mask)
        answers = q.roles == ANSWER
        ratio = bare[answers].norm() / deltas[int(self.last)][answers].norm()
        self.encoders.get_submodule(f"up.{self.last}").get_parameter("weight").mul_(margin * ratio)

    def _draw(self, phase: Phase, step: int) -> tuple[list[Episode], InjectedBatch]:
        rng = random.Random(f"{self.stage.name}:{self.seed}:{step}")
        mean_passages = sum(phase.passages) / 2
        sizes = {
            "num_passages": round(phase.batch_size * (mean_passages + 0.3)),
            "max_passages": phase.passages[1],
            "passage_length": 14 + 17 * phase.facts[1],
            "length": phase.length,
        }
        episodes: list[Episode] = []
        for _ in range(200 * phase.batch_size):
            if len(episodes) == phase.batch_size:
                break
            episode = sample_episode(rng, phase)
            used = sum(len(e.passages) for e in episodes) + len(episode.passages)
            if used > sizes["num_passages"]:
                continue
            try:
                pack_for_injection([episode], self.tokenizer, DEMO_WORDING, **sizes)
            except ValueError:
                continue  # too long for the rows: draw another
            episodes.append(episode)
        if len(episodes) < phase.batch_size:
            raise ValueError(
                f"hardly an episode of {phase} fits its rows; make them longer, or use a tokenizer "
                "with more tokens."
            )
        return episodes, pack_for_injection(episodes, self.tokenizer, DEMO_WORDING, **sizes)

    def _encode_eagerly(
        self,
        passages: Tensor,
        passage_mask: Tensor,
        rows: Tensor,
        questions: Tensor,
        mask: Tensor,
        at: Tensor,
    ) -> tuple[dict[int, Tensor], Tensor]:
        """Deltas of the questions' rows, and the trunk's own reading of the passages."""
        states, hidden = self.encoders.encode_passages_and_read(passages, passage_mask)
        known = (passage_mask[rows] & (rows >= 0)[:, :, None]).flatten(1)

        def beside(states: Tensor) -> Tensor:
            """``[N, S, H, K, d]`` to ``[N, B, H, P * K, d]``."""
            return states[:, rows].transpose(2, 3).flatten(3, 4)

        start = self.encoders.config.max_passage_tokens
        starts = torch.full((rows.shape[0],), start)
        knowledge = Knowledge(beside(states.keys), beside(states.values), known, starts)
        return self.encoders(questions, mask[:, 0], at + start, knowledge), hidden

    def _read_base_eagerly(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """What the last decoder layer gives, before the final norm: ``[B, T, D]``."""
        decoder = self.base.model
        hidden = decoder.embed_tokens(ids)
        rotary = decoder.rotary_emb(hidden, position_ids=positions)
        for layer in decoder.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary)
        output: Tensor = hidden
        return output

    def _losses_eagerly(self, hidden: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each next token, ``[B, T - 1]``, and whether it was the likeliest."""
        normed = self.base.model.norm(hidden[:, :-1])
        logits = functional.linear(normed, self.base.lm_head.weight).float()
        targets = ids[:, 1:]
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view_as(targets), logits.argmax(-1) == targets

    def _deltas(self, batch: InjectedBatch) -> tuple[dict[int, Tensor], Tensor]:
        embed = self.base.get_input_embeddings()
        q = batch.questions
        with torch.no_grad():
            passages, questions = embed(batch.passage_ids), embed(q.input_ids)
        deltas, hidden = self._encode(
            passages, batch.passage_mask, batch.rows, questions, q.attention_mask, q.position_ids
        )
        return deltas, hidden

    def _warmup(
        self, episodes: list[Episode], batch: InjectedBatch, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """The trunk as a language model of its own, through up-projection and the frozen head."""
        deltas, hidden = self._deltas(batch)
        q = batch.questions
        losses, right = self._losses(deltas[int(self.last)], q.input_ids)
        roles, before = q.roles[:, 1:], q.roles[:, :-1]
        asked = losses[(roles == QUESTION) & (before == QUESTION)].mean()
        answers = roles == ANSWER
        loss = losses[answers].mean() + 0.05 * asked
        if self.encoders.config.passage_direction == "causal":
            read, _ = self._losses(self.encoders.up[self.last](hidden), batch.passage_ids)
            loss = loss + 0.2 * read[batch.passage_mask[:, 1:]].mean()
        return loss, right[answers].float().mean()

    def _finetune(
        self, episodes: list[Episode], batch: InjectedBatch, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """Language-model loss on the answers, through the frozen base model with injection."""
        deltas, _ = self._deltas(batch)
        q = batch.questions
        with self.injection.adding(deltas):
            hidden = self._read_base(q.input_ids, q.position_ids, q.attention_mask)
        losses, right = self._losses(hidden, q.input_ids)
        answers = q.roles[:, 1:] == ANSWER
        return losses[answers].mean(), right[answers].float().mean()

    def _distill(
        self, episodes: list[Episode], batch: InjectedBatch, phase: Phase
    ) -> tuple[Tensor, Tensor]:
        """Onto the stuffed model's output distribution, through the frozen norm and head alone.

        The base model runs forwards twice, stuffed and bare; one delta is added to the bare one's
        last layer, so that no gradient passes any decoder layer.
        """
        length = phase.length + phase.passages[1] * (13 + 17 * phase.facts[1])
        stuffed = pack_episodes(episodes, self.tokenizer, DEMO_WORDING, length=length)
        q = batch.questions
        answers, stuffed_answers = q.roles[:, 1:] == ANSWER, stuffed.roles[:, 1:] == ANSWER
        norm, head = self.base.model.norm, self.base.lm_head.weight
        with torch.no_grad():
            teacher = self._read_base(
                stuffed.input_ids, stuffed.position_ids, stuffed.attention_mask
            )[:, :-1][stuffed_answers]
            target = functional.linear(norm(teacher), head).float().log_softmax(-1)
            bare = self._read_base(q.input_ids, q.position_ids, q.attention_mask)
        deltas, _ = self._deltas(batch)
        student = (bare + deltas[int(self.last)])[:, :-1][answers]
        logits = functional.linear(norm(student), head).float()
        loss = functional.kl_div(
            logits.log_softmax(-1), target, reduction="batchmean", log_target=True
        )
        right = logits.argmax(-1) == q.input_ids[:, 1:][answers]
        return loss, right.float().mean()

"""How the demo's encoders are trained: warm-up, distillation, fine-tuning."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.demo.phases import Phase, draw_episodes, phase_at
from diekae_rag.training.batches import Episode, Sizes, pack_for_injection, pack_stuffed
from diekae_rag.training.objectives import Batch
from diekae_rag.training.stages import OBJECTIVES

__all__ = ["STAGES", "Stage", "drawing"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the encoders' training: its phases, its peak rate, and the steps up to it."""

    name: str
    phases: tuple[Phase, ...]
    learning_rate: float
    warmup_steps: int = 20

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        return self.phases[-1].until


def _long(until: int) -> Phase:
    return Phase(until, (1, 5), (2, 5), 6, 0.35, 0.15, 24, 224, twins=0.3)


STAGES = (
    Stage(
        "warmup",
        (
            Phase(450, (1, 2), (1, 2), 5, 0.1, 0.0, 32, 160),
            Phase(900, (1, 3), (1, 4), 6, 0.3, 0.1, 32, 224, twins=0.4),
            _long(1500),
        ),
        2e-3,
        warmup_steps=100,
    ),
    Stage("distill", (_long(150),), 5e-4),
    Stage("finetune", (_long(300),), 5e-4),
)
"""Warm-up first: without it no copying appears, whatever the later stages do."""


def drawing(
    stage: Stage, tokenizer: PreTrainedTokenizerBase, config: DiekaeConfig, seed: int
) -> Callable[[int], Batch]:
    """The batches of a stage, by number."""

    def draw(step: int) -> Batch:
        phase = phase_at(stage.phases, step)
        most_passages, most_facts = phase.passages[1], phase.facts[1]
        sizes = Sizes(
            num_passages=round(phase.batch_size * (sum(phase.passages) / 2 + 0.3)),
            max_passages=most_passages,
            passage_length=14 + 17 * most_facts,
            length=phase.length,
        )

        def fits(others: list[Episode], episode: Episode) -> bool:
            used = sum(len(e.passages) for e in [*others, episode])
            if used > sizes.num_passages:
                return False
            try:
                pack_for_injection([episode], tokenizer, config, sizes)
            except ValueError:
                return False  # too long for the rows
            return True

        episodes = draw_episodes(random.Random(f"{stage.name}:{seed}:{step}"), phase, fits)
        injected = pack_for_injection(episodes, tokenizer, config, sizes)
        if not OBJECTIVES[stage.name].needs_stuffed:
            return Batch(injected)
        length = phase.length + most_passages * (13 + 17 * most_facts)
        return Batch(injected, pack_stuffed(episodes, tokenizer, config, length=length))

    return draw

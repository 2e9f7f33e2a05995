"""The demo's base model: a small LLaMA that learns, from scratch, to answer from passages."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.demo.batches import ANSWER, PASSAGE, QUESTION, pack_episodes
from diekae_rag.demo.episodes import Episode, random_episode
from diekae_rag.prompting import Wording
from diekae_rag.training.loop import Schedule, train

__all__ = [
    "DEMO_WORDING",
    "READER_PHASES",
    "Phase",
    "build_reader",
    "sample_episode",
    "train_reader",
]

DEMO_WORDING = Wording(
    passage="Imagine that {passage}[SEP]", prompt="[USR] {prompt}[SYS]", answer=" {answer}"
)


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training on episodes of one difficulty.

    Args:
        until: The step at which the phase ends.
        passages: Fewest and most passages.
        facts: Fewest and most facts in one.
        num_questions: Questions in an episode.
        unanswerable: Share of the questions that no passage answers.
        preambles: Share of the questions worded as chains word them.
        batch_size: Episodes in a step.
        length: Longest row, in tokens; a longer episode is drawn again.
    """

    until: int
    passages: tuple[int, int]
    facts: tuple[int, int]
    num_questions: int
    unanswerable: float
    preambles: float
    batch_size: int
    length: int


READER_PHASES = (
    Phase(700, (1, 2), (1, 2), 3, 0.1, 0.0, 32, 144),
    Phase(1400, (1, 3), (1, 4), 4, 0.2, 0.1, 32, 256),
    Phase(3400, (1, 5), (2, 5), 5, 0.25, 0.15, 24, 416),
)
"""Short documents first: without them nothing is copied after hundreds of steps."""


def build_reader(tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A LLaMA with random weights: 6 layers of width 256, 5.3 million weights."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=6,
            num_attention_heads=4,
            tie_word_embeddings=True,
            max_position_embeddings=1024,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def sample_episode(rng: random.Random, phase: Phase) -> Episode:
    """One episode of a phase; one in fifty has no passage at all."""
    num_passages = 0 if rng.random() < 0.02 else rng.randint(*phase.passages)
    return random_episode(
        rng,
        num_passages,
        phase.facts[1],
        phase.num_questions,
        min_facts=phase.facts[0],
        unanswerable=phase.unanswerable,
        preambles=phase.preambles,
    )


def _objective(
    reader: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    phases: tuple[Phase, ...],
    seed: int,
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:
    """Language-model loss: answers fully, passages and questions a little."""

    @torch.compile
    def token_losses(ids: Tensor, positions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = reader.model(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        logits = functional.linear(hidden[:, :-1], reader.lm_head.weight).float()
        losses = functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        return losses.view(ids.shape[0], -1), logits.argmax(-1)

    def objective(step: int) -> tuple[Tensor, dict[str, float]]:
        phase = next((p for p in phases if step < p.until), phases[-1])
        rng = random.Random(f"reader:{seed}:{step}")
        episodes: list[Episode] = []
        while len(episodes) < phase.batch_size:
            episode = sample_episode(rng, phase)
            if pack_episodes([episode], tokenizer, DEMO_WORDING).length <= phase.length:
                episodes.append(episode)
        batch = pack_episodes(episodes, tokenizer, DEMO_WORDING, length=phase.length)
        with torch.autocast("cpu", torch.bfloat16):
            losses, guesses = token_losses(
                batch.input_ids, batch.position_ids, batch.attention_mask
            )
        roles, before = batch.roles[:, 1:], batch.roles[:, :-1]
        answers = losses[roles == ANSWER].mean()
        passages = losses[(roles == PASSAGE)].sum() / max(1, int((roles == PASSAGE).sum()))
        questions = losses[(roles == QUESTION) & (before == QUESTION)].mean()
        right = (guesses == batch.input_ids[:, 1:])[roles == ANSWER].float().mean()
        metrics = {"answers": float(answers.detach()), "tokens right": float(right)}
        return answers + 0.2 * passages + 0.05 * questions, metrics

    return objective


def train_reader(
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    seed: int = 0,
    phases: tuple[Phase, ...] = READER_PHASES,
    learning_rate: float = 2e-3,
    show_progress: bool = True,
) -> tuple[LlamaForCausalLM, float]:
    """Trains the reader, or goes on training it.

    Returns:
        The reader and the seconds it took.
    """
    reader = build_reader(tokenizer, seed)
    reader.train()
    seconds = train(
        "reader",
        dict(reader.named_parameters()),
        _objective(reader, tokenizer, phases, seed),
        Schedule(phases[-1].until, learning_rate),
        folder,
        show_progress=show_progress,
    )
    return reader.eval(), seconds

"""The demo's base model: a small LLaMA that learns, from scratch, to answer from passages."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.demo.phases import Phase, draw_episodes, phase_at
from diekae_rag.prompting import Wording
from diekae_rag.training.batches import (
    ANSWER,
    PASSAGE,
    QUESTION,
    Episode,
    PackedBatch,
    pack_stuffed,
)
from diekae_rag.training.loop import train
from diekae_rag.training.schedule import Schedule

__all__ = ["DEMO_WORDING", "READER_PHASES", "ReaderObjective", "build_reader", "train_reader"]

DEMO_WORDING = Wording(
    passage="Imagine that {passage}[SEP]", prompt="[USR] {prompt}[SYS]", answer=" {answer}"
)

READER_PHASES = (
    Phase(600, (1, 2), (1, 2), 3, 0.1, 0.0, 32, 144),
    Phase(1200, (2, 5), (1, 2), 5, 0.3, 0.1, 24, 256),
    Phase(2000, (2, 5), (1, 2), 6, 0.1, 0.05, 24, 256, twins=0.8),
    Phase(2800, (2, 5), (1, 2), 6, 0.35, 0.1, 24, 256, twins=0.4),
    Phase(4400, (1, 5), (2, 5), 6, 0.35, 0.15, 20, 400, twins=0.3),
)
"""Short documents first: without them nothing is copied after hundreds of steps. Then several that
differ in their names alone: without them the names are hardly compared, and half of the questions
are refused. Long documents, which cost most, come last."""


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


class ReaderObjective(nn.Module):
    """Language-model loss: answers fully, passages and questions a little.

    Args:
        reader: What is trained.
        is_compiled: Compile it: worth its minute in long training.
    """

    def __init__(self, reader: LlamaForCausalLM, *, is_compiled: bool = True) -> None:
        super().__init__()
        self.reader = reader
        compiled = torch.compile(self._losses_eagerly) if is_compiled else self._losses_eagerly
        self._losses = compiled

    def forward(self, batch: PackedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss ``[]`` and figures ``[]`` of one batch."""
        losses, guesses = self._losses(batch.input_ids, batch.position_ids, batch.attention_mask)
        roles, before = batch.roles[:, 1:], batch.roles[:, :-1]
        answers = losses[roles == ANSWER].mean()
        passages = losses[(roles == PASSAGE)].sum() / (roles == PASSAGE).sum().clamp(min=1)
        questions = losses[(roles == QUESTION) & (before == QUESTION)].mean()
        right = (guesses == batch.input_ids[:, 1:])[roles == ANSWER].float().mean()
        metrics = {"answers": answers.detach(), "tokens right": right}
        return answers + 0.2 * passages + 0.05 * questions, metrics

    def _losses_eagerly(
        self, ids: Tensor, positions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden = self.reader.model(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        logits = functional.linear(hidden[:, :-1], self.reader.lm_head.weight).float()
        losses = functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
        return losses.view(ids.shape[0], -1), logits.argmax(-1)


def train_reader(
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    accelerator: Accelerator,
    *,
    seed: int = 0,
    phases: tuple[Phase, ...] = READER_PHASES,
    learning_rate: float = 2e-3,
    is_compiled: bool = True,
    show_progress: bool = True,
) -> tuple[LlamaForCausalLM, float]:
    """Trains the reader, or goes on training it.

    Returns:
        The reader and the seconds it took.
    """
    reader = build_reader(tokenizer, seed)
    reader.train()
    config = DiekaeConfig(wording=DEMO_WORDING.to_dict())

    def draw(step: int) -> PackedBatch:
        phase = phase_at(phases, step)

        def fits(_: list[Episode], episode: Episode) -> bool:
            return pack_stuffed([episode], tokenizer, config).length <= phase.length

        episodes = draw_episodes(random.Random(f"reader:{seed}:{step}"), phase, fits)
        return pack_stuffed(episodes, tokenizer, config, length=phase.length)

    seconds = train(
        "reader",
        ReaderObjective(reader, is_compiled=is_compiled),
        draw,
        Schedule(phases[-1].until, learning_rate, optimizer="muon"),
        folder,
        accelerator=accelerator,
        show_progress=show_progress,
    )
    return reader.eval(), seconds

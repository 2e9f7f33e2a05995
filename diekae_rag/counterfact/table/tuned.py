"""Fine-tuning on edits: a copy of the reader, trained to answer their prompts with new targets."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedModel

from diekae_rag.counterfact.table.asking import Edited
from diekae_rag.data.sets import EditRecord
from diekae_rag.model import DiekaeModel
from diekae_rag.training.baselines import add_lora, lora_rank
from diekae_rag.training.batches import Episode, PackedBatch, pack_stuffed
from diekae_rag.training.loop import train
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.tuning import Tuning

__all__ = ["Tuned"]

_ROWS, _A_ROW = 16, 4  # prompts of a row do not see each other, but each costs attention
_FEWEST_STEPS, _EPOCHS = 20, 15


@dataclass(frozen=True, slots=True)
class Tuned:
    """The reader trained on the edits' prompts, all its weights or LoRA's, and nothing else.

    Every prompt is seen equally often, up to ``most_steps``. Of the rates that were tried, those of
    the table (1e-4; LoRA 1e-3) are the lowest that write nearly all of 1,000 edits: higher ones
    forget more of what is not edited, lower ones leave edits out.

    Args:
        folder: With ``base`` and ``encoders``.
        model: The unedited one.
        accelerator: Devices and precision.
        is_lora: Train adapters with about as many weights as the encoders have, then merge them.
        learning_rate: Peak rate.
        most_steps: Most steps, of up to 64 prompts each.
        most_sets: As for every arm.
    """

    folder: Path
    model: DiekaeModel
    accelerator: Accelerator
    is_lora: bool = False
    learning_rate: float = 1e-4
    most_steps: int = 1200
    most_sets: int = 10

    @contextmanager
    def edited(self, edits: Sequence[EditRecord]) -> Iterator[Edited]:
        """A model with other weights; the unedited one stays as it is."""
        base: PreTrainedModel = LlamaForCausalLM.from_pretrained(self.folder / "base")
        began = time.perf_counter()
        tuned = self._tuned(base, edits)
        seconds = time.perf_counter() - began
        model = DiekaeModel.from_pretrained(
            self.folder / "encoders", base=tuned.eval(), tokenizer=self.model.tokenizer
        )
        try:
            yield Edited(model, seconds)
        finally:
            model.detach()

    def _tuned(self, base: PreTrainedModel, edits: Sequence[EditRecord]) -> PreTrainedModel:
        trained: Any = base
        if self.is_lora:
            weights = sum(weight.numel() for weight in self.model.encoders.parameters())
            trained = add_lora(base, lora_rank(base, weights))
        a_step = min(len(edits), _ROWS * _A_ROW)
        num_steps = min(self.most_steps, max(_FEWEST_STEPS, _EPOCHS * len(edits) // a_step))
        nn.Module.train(trained)
        with tempfile.TemporaryDirectory() as folder:
            train(
                "edits",
                Tuning(trained),
                self._draw(edits, a_step),
                Schedule(num_steps, self.learning_rate, warmup_steps=min(10, num_steps // 5)),
                Path(folder),
                accelerator=self.accelerator,
                checkpoint_every=num_steps,
                show_progress=False,
            )
        merged: PreTrainedModel = trained.merge_and_unload() if self.is_lora else trained
        return merged

    def _draw(self, edits: Sequence[EditRecord], a_step: int) -> Callable[[int], PackedBatch]:
        """Batches by number; every epoch passes all edits in an order of its own."""

        @lru_cache(maxsize=2)
        def order(epoch: int) -> list[EditRecord]:
            return random.Random(epoch).sample(edits, len(edits))

        def draw(number: int) -> PackedBatch:
            places = range(number * a_step, (number + 1) * a_step)
            chosen = [order(place // len(edits))[place % len(edits)] for place in places]
            rows = [
                Episode([], [(edit.prompt, edit.target_new) for edit in chosen[first::_ROWS]])
                for first in range(min(_ROWS, len(chosen)))
            ]
            return pack_stuffed(rows, self.model.tokenizer, self.model.encoders.config)

        return draw

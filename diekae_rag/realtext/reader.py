"""The reader of real text: the demo's reader, trained on with the passages in its prompt."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.data.records import Record
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.files import new_folder
from diekae_rag.realtext.mixture import Mixture
from diekae_rag.realtext.vocabulary import adapted_reader, save_reader, train_text_tokenizer
from diekae_rag.training.examples import Examples
from diekae_rag.training.loop import train
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.tuning import Tuning

WINDOW = 1024

__all__ = ["build_mixture", "load_text_tokenizer", "train_text_reader"]


def load_text_tokenizer(records: list[Record], folder: Path) -> PreTrainedTokenizerBase:
    """The run's tokenizer, trained where there is none yet."""
    if not (folder / "tokenizer").exists():
        with new_folder(folder / "tokenizer") as temporary:
            train_text_tokenizer(records).save_pretrained(temporary)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return tokenizer


def build_mixture(records: list[Record], tokenizer: PreTrainedTokenizerBase) -> Mixture:
    """What the reader is trained on, and its encoders after it."""
    config = DiekaeConfig(wording=DEMO_WORDING.to_dict(), max_passage_tokens=256)
    return Mixture(
        Examples(
            records,
            tokenizer,
            config,
            window=WINDOW,
            batch_size=16,
            questions_per_row=6,
            needs_stuffed=True,
        )
    )


def train_text_reader(
    records: list[Record],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    accelerator: Accelerator,
    *,
    num_steps: int = 2000,
    show_progress: bool = True,
) -> LlamaForCausalLM:
    """Trains the reader, or goes on, and keeps it in ``folder/base``."""
    torch.manual_seed(0)
    reader = adapted_reader(tokenizer)
    nn.Module.train(reader)
    mixture = build_mixture(records, tokenizer)
    train(
        "reader",
        Tuning(reader, passage_weight=0.2, question_weight=0.05),
        lambda number: mixture(number).for_teacher,
        Schedule(num_steps, 1e-3, optimizer="muon"),
        folder / "reader",
        accelerator=accelerator,
        show_progress=show_progress,
    )
    return save_reader(reader, tokenizer, folder / "base")

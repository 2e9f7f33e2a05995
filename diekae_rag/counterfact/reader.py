"""The reader of facts: the demo's reader, taught what CounterFact takes a model to know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.counterfact.facts import Facts
from diekae_rag.counterfact.packing import Rows
from diekae_rag.counterfact.recall import Recall
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.demo.tokenizer import byte_level_bpe
from diekae_rag.files import new_folder
from diekae_rag.realtext.vocabulary import adapted_reader, save_reader
from diekae_rag.training.loop import train
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.tuning import Tuning

__all__ = ["READER_CONFIG", "load_fact_tokenizer", "train_fact_reader"]

READER_CONFIG = DiekaeConfig(
    wording=DEMO_WORDING.to_dict(), max_passage_tokens=256, passage_attention="independent"
)
_LENGTH = 192
_STATED = (0, 1, 0, 2, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 4) * 3
_MEASURE_EVERY = 200


def load_fact_tokenizer(
    facts: Facts, folder: Path, vocab_size: int = 8192
) -> PreTrainedTokenizerBase:
    """The run's tokenizer, trained where there is none yet; nearly all targets are one token."""
    if not (folder / "tokenizer").exists():
        texts = [f" {prompt}" for prompt in facts.known()]
        for edit in facts.editable():
            texts += [f" {text}" for text in edit.paraphrase_prompts]
        for edit in (*facts.train, *facts.valid):
            texts += [f" {edit.target_true}", f" {edit.target_new}"]
        with new_folder(folder / "tokenizer") as temporary:
            byte_level_bpe(texts, vocab_size).save_pretrained(temporary)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "tokenizer")
    return tokenizer


def train_fact_reader(
    facts: Facts,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    accelerator: Accelerator,
    *,
    num_steps: int = 1600,
    learning_rate: float = 2e-3,
    is_compiled: bool = True,
    show_progress: bool = True,
) -> LlamaForCausalLM:
    """Trains the reader, or goes on, and keeps it in ``folder/base``.

    Half of the rows are known facts alone; the others state edits of train subjects and ask about
    them, their paraphrases and facts that are not edited. What it knows is noted now and then in
    ``folder/reader/known.jsonl``.
    """
    torch.manual_seed(0)
    reader = adapted_reader(tokenizer)
    nn.Module.train(reader)
    rows = Rows(facts, tokenizer, READER_CONFIG, _STATED, length=_LENGTH, seed="reader")
    train(
        "reader",
        Tuning(reader, is_compiled=is_compiled),
        rows.stuffed,
        Schedule(num_steps, learning_rate, optimizer="muon", decay_share=0.4),
        folder / "reader",
        accelerator=accelerator,
        evaluate=_noting(reader, Recall(facts, tokenizer), folder / "reader"),
        evaluate_every=_MEASURE_EVERY,
        checkpoint_every=100,
        show_progress=show_progress,
    )
    return save_reader(reader, tokenizer, folder / "base")


def _noting(reader: LlamaForCausalLM, recall: Recall, folder: Path) -> Callable[[], float]:
    def evaluate() -> float:
        shares = recall.measure(reader)
        recall.note(shares, folder / "known.jsonl")
        return 1 - sum(shares.values()) / len(shares)

    return evaluate

"""A tokenizer for real text, and the demo's reader made to read with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from diekae_rag.data.records import Record
from diekae_rag.demo.tokenizer import byte_level_bpe
from diekae_rag.files import new_folder
from diekae_rag.locations import demo_folder

__all__ = ["adapted_reader", "save_reader", "train_text_tokenizer"]

VOCAB_SIZE = 8192


def train_text_tokenizer(
    records: Sequence[Record], vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerBase:
    """Byte-level BPE of what is trained on; each passage counts once."""
    texts = dict.fromkeys(f" {text}" for record in records for text in record.passages)
    prompts = dict.fromkeys(f" {record.prompt}" for record in records)
    answers = dict.fromkeys(f" {record.answer}" for record in records)
    return byte_level_bpe([*texts, *prompts, *answers], vocab_size)


@torch.no_grad()
def adapted_reader(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """The demo's reader with other tokens: each begins as the mean of what it is made of.

    A reader that copies already needs far less training than one from scratch.
    """
    folder = demo_folder() / "reader"
    reader = LlamaForCausalLM.from_pretrained(folder)
    known = AutoTokenizer.from_pretrained(folder)
    embeddings: Any = reader.get_input_embeddings()
    old: Tensor = embeddings.weight.clone()
    new = torch.empty(len(tokenizer), old.shape[1])
    special = set(tokenizer.all_special_ids)
    for token in range(len(tokenizer)):
        name = tokenizer.convert_ids_to_tokens(token)
        if token in special:
            new[token] = old[known.convert_tokens_to_ids(name)]
            continue
        # A token is a piece of bytes: pieces that are no text by themselves are looked up as such.
        parts = known.backend_tokenizer.model.tokenize(name)
        mean = old[[part.id for part in parts]].mean(0)
        new[token] = mean / mean.norm() * old.norm(dim=1).mean()
    reader.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    embeddings = reader.get_input_embeddings()
    embeddings.weight.copy_(new)
    return reader


def save_reader(
    reader: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> LlamaForCausalLM:
    """Keeps a reader that has been trained, and its tokenizer, as the base model in a folder."""
    nn.Module.eval(reader)
    with new_folder(folder) as temporary:
        reader.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return reader

"""A tiny base model and encoders with random weights: every promise is tested on them offline."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag import DiekaeConfig, DiekaeModel, Encoders
from diekae_rag.demo.tokenizer import train_tokenizer

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of what tests start: the other core is another worker's

WORDING = {
    "passage": "Imagine that {passage}[SEP]",
    "prompt": "[USR] {prompt}[SYS]",
    "answer": " {answer}",
}


@pytest.fixture(autouse=True)
def own_accelerator() -> Iterator[None]:
    """accelerate keeps one state for the whole process: no test may inherit another's."""
    yield
    if (state := sys.modules.get("accelerate.state")) is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer with 400 tokens."""
    return train_tokenizer(seed=0, vocab_size=400)


def build_base(vocab_size: int) -> LlamaForCausalLM:
    """A random LLaMA, 4 layers of width 32, that never ends a sequence by itself."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            initializer_range=0.3,
            bos_token_id=1,
            eos_token_id=None,
            pad_token_id=0,
        )
    ).eval()


def build_encoders(**choices: Any) -> Encoders:
    """Random encoders for ``build_base`` whose deltas are large enough to change every answer."""
    torch.manual_seed(1)
    config = {
        "layers": [1, 3],
        "base_num_hidden_layers": 4,
        "base_hidden_size": 32,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_passage_tokens": 64,
        "wording": WORDING,
        **choices,
    }
    encoders = Encoders(DiekaeConfig(**config))
    for up in encoders.up.values():
        torch.nn.init.normal_(up.weight, std=0.5)
    return encoders


@pytest.fixture
def base(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A fresh random base model."""
    return build_base(len(tokenizer))


@pytest.fixture
def base_folder(base: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> Path:
    """The same on disk, with its tokenizer."""
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def make_model(
    base: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> Callable[..., DiekaeModel]:
    """Builds a model over ``base``; config fields are keyword arguments."""
    made: list[DiekaeModel] = []

    def make(**choices: Any) -> DiekaeModel:
        for model in made:
            model.detach()
        made.append(DiekaeModel(base, tokenizer, build_encoders(**choices)))
        return made[-1]

    return make


@pytest.fixture
def model(make_model: Callable[..., DiekaeModel]) -> DiekaeModel:
    """Shared trunk, independent passages, continuous injection: the layout that ships."""
    return make_model(sharing="shared", passage_attention="independent", positions="all")


@contextmanager
def talking(model: DiekaeModel) -> Iterator[Callable[..., None]]:
    """Has the base model give these answers, one a prompt and the last to all further ones."""
    answers: list[list[int]] = [[]]
    to_come: list[int] = []

    def force(module, args, kwargs, output):
        if kwargs["input_ids"].shape[1] > 1:
            to_come[:] = answers.pop(0) if len(answers) > 1 else answers[0]
        token = to_come.pop(0) if to_come else model.tokenizer.pad_token_id
        output.logits[:, -1, token] = 1e9

    def choose(*texts: str) -> None:
        answers[:] = model.tokenizer(list(texts), add_special_tokens=False).input_ids

    handle = model.base.register_forward_hook(force, with_kwargs=True)
    try:
        yield choose
    finally:
        handle.remove()


@pytest.fixture
def say(model: DiekaeModel) -> Iterator[Callable[..., None]]:
    """``talking`` for the model of a test."""
    with talking(model) as choose:
        yield choose

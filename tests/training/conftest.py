"""A tiny reader and encoders for it, and batches that are made up."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from diekae_rag import DiekaeConfig, Encoders
from diekae_rag.demo.phases import Phase, draw_episodes
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.injection import Injection
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import pack_for_injection, pack_stuffed
from diekae_rag.training.objectives import Batch

PHASE = Phase(3, (1, 2), (1, 2), 2, 0.2, 0.0, 4, 128)


@pytest.fixture
def reader(tokenizer) -> LlamaForCausalLM:
    """A random LLaMA of three layers."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).requires_grad_(False).eval()


@pytest.fixture
def make_encoders() -> Callable[..., Encoders]:
    """Builds encoders for ``reader`` whose deltas are not zero."""

    def make(**choices) -> Encoders:
        torch.manual_seed(1)
        config = {
            "base_hidden_size": 32,
            "base_num_hidden_layers": 3,
            "layers": [0, 2],
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "sharing": "shared",
            "positions": "all",
            "passage_attention": "independent",
            "max_passage_tokens": 64,
            "wording": DEMO_WORDING.to_dict(),
            **choices,
        }
        encoders = Encoders(DiekaeConfig(**config))
        for up in encoders.up.values():
            torch.nn.init.normal_(up.weight, std=0.1)
        return encoders

    return make


@pytest.fixture
def build(reader, make_encoders):
    """Builds an objective over ``reader``; config fields are keyword arguments."""
    attached = []

    def build(kind, *, options=None, **choices):
        encoders = make_encoders(**choices)
        attached.append(Injection(reader, encoders))
        return kind(BaseParts(reader), encoders, attached[-1], **(options or {}))

    yield build
    for injection in attached:
        injection.detach()


@pytest.fixture
def draw(tokenizer):
    """A batch for a config, by number."""

    def draw(config: DiekaeConfig, number: int = 0) -> Batch:
        episodes = draw_episodes(random.Random(number), PHASE, lambda *_: True)
        return Batch(
            pack_for_injection(episodes, tokenizer, config),
            pack_stuffed(episodes, tokenizer, config),
        )

    return draw

"""A base model with random weights, and rows of given lengths for it to read."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaRMSNorm, LlamaRotaryEmbedding

from diekae_rag.bench.memory import check_fits
from diekae_rag.bench.setting import SHAPES, Setting
from diekae_rag.config import DiekaeConfig
from diekae_rag.encoders import Encoders
from diekae_rag.training.batches import Episode, pack_for_injection, pack_stuffed
from diekae_rag.training.objectives import Batch

__all__ = [
    "Workload",
    "build_base",
    "build_encoders",
    "build_workload",
    "draw_batch",
    "draw_text",
    "number_tokenizer",
]

_TILE = 999_983  # a prime: no two rows of a matrix begin at the same place of the tile


@dataclass(frozen=True, slots=True)
class Workload:
    """What every arm is given.

    Args:
        setting: Lengths and precision.
        base: The base model; nothing in it requires gradient.
        device: Where it is.
    """

    setting: Setting
    base: LlamaForCausalLM
    device: torch.device


def build_workload(setting: Setting) -> Workload:
    """The base model of a setting, on its device."""
    chosen = setting.device
    if chosen == "auto":
        chosen = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(chosen)
    return Workload(setting, build_base(setting, device), device)


@torch.no_grad()
def build_base(setting: Setting, device: torch.device) -> LlamaForCausalLM:
    """A frozen LLaMA whose weights are one normal tile laid end to end: quicker than drawing all.

    Raises:
        DoesNotFitError: Its weights take more memory than there is.
    """
    shape = SHAPES[setting.shape]
    config = LlamaConfig(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        vocab_size=shape.vocab_size,
        max_position_embeddings=max(2048, setting.row_tokens),
        bos_token_id=None,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
        nn.Module.to(model, getattr(torch, setting.dtype))
    check_fits(sum(p.numel() * p.element_size() for p in model.parameters()), device)
    model.to_empty(device=device)
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(device)
    tile = torch.randn(_TILE, generator=torch.Generator().manual_seed(0)) * 0.02
    tile = tile.to(device, model.dtype)
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if isinstance(module, LlamaRMSNorm):
                weight.fill_(1.0)
                continue
            for piece in torch.split(weight.view(-1), _TILE):
                piece.copy_(tile[: len(piece)])
    nn.Module.requires_grad_(model, False)
    nn.Module.eval(model)
    return model


def build_encoders(workload: Workload, **choices: Any) -> Encoders:
    """The paper's encoders for the base model, in its precision; deltas are not zero."""
    shape = SHAPES[workload.setting.shape]
    fields = {
        **shape.encoder,
        "base_hidden_size": shape.hidden_size,
        "base_num_hidden_layers": shape.num_hidden_layers,
        "layers": list(workload.setting.layers),
        "max_passage_tokens": workload.setting.knowledge_tokens,
        "wording": {"passage": "{passage}"},
        **choices,
    }
    torch.manual_seed(0)
    encoders = Encoders(DiekaeConfig(**fields))
    for up in encoders.up.values():
        nn.init.normal_(up.get_parameter("weight"), std=0.01)
    nn.Module.to(encoders, workload.device, workload.base.dtype)
    return encoders


def draw_batch(setting: Setting, config: DiekaeConfig) -> Batch:
    """One batch of random words, packed as training packs it; the same for every config."""
    vocabulary = SHAPES[setting.shape].vocab_size
    rng = random.Random(0)
    episodes = [
        Episode(
            [draw_text(rng, vocabulary, setting.knowledge_tokens)],
            [
                (
                    draw_text(rng, vocabulary, setting.prompt_tokens),
                    draw_text(rng, vocabulary, setting.answer_tokens),
                )
            ],
        )
        for _ in range(setting.batch_size)
    ]
    tokenizer = number_tokenizer(vocabulary)
    return Batch(
        pack_for_injection(episodes, tokenizer, config), pack_stuffed(episodes, tokenizer, config)
    )


def draw_text(rng: random.Random, vocabulary: int, num_tokens: int) -> str:
    """A text of so many tokens of ``number_tokenizer``.

    Example:
        >>> len(draw_text(random.Random(0), 400, 3).split())
        3
    """
    return " ".join(str(rng.randrange(1, vocabulary)) for _ in range(num_tokens))


def number_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Every word is a number and one token; nothing is added, so that lengths are exact."""
    words = models.WordLevel({str(number): number for number in range(vocabulary)}, unk_token="0")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)

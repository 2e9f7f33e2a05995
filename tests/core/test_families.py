"""Families in which an addition is an addition are exact; every other is refused by name."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from diekae_rag import DiekaeConfig, DiekaeModel, Encoders
from diekae_rag.families import FAMILIES

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
MIXTURES = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
}
EXTRAS = {
    "gemma": {"head_dim": 8},
    "mixtral": MIXTURES,
    "qwen2_moe": MIXTURES,
    "qwen3_moe": MIXTURES,
    "qwen3": {"head_dim": 8},
    "mistral, sliding": {"sliding_window": 8},
    "qwen2, sliding": {
        "sliding_window": 8,
        "use_sliding_window": True,
        "layer_types": ["full_attention", "sliding_attention"],
    },
}
WAYS = {
    "cached": {},
    "static cache": {"cache_implementation": "static"},
    "chunks": {"prefill_chunk_size": 4},
    "static cache and chunks": {"cache_implementation": "static", "prefill_chunk_size": 4},
    "no cache": {"use_cache": False},
}


def build_family(name: str, vocab_size: int):
    family = name.partition(",")[0]
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        family, vocab_size=vocab_size, **{**SMALL, **EXTRAS.get(name, {})}
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(scope="module", params=[*FAMILIES, "mistral, sliding", "qwen2, sliding"])
def of_family(request, tokenizer) -> DiekaeModel:
    """A model over a tiny base of each family, with the demo's layout."""
    base = build_family(request.param, len(tokenizer))
    torch.manual_seed(1)
    config = DiekaeConfig(
        layers=[0, 1],
        base_num_hidden_layers=2,
        base_hidden_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        sharing="shared",
        positions="all",
        passage_attention="independent",
        max_passage_tokens=64,
    )
    encoders = Encoders(config)
    for up in encoders.up.values():
        torch.nn.init.normal_(up.weight, std=0.5)
    return DiekaeModel(base, tokenizer, encoders)


@pytest.fixture(scope="module")
def one_by_one(of_family, alone, questions, sources):
    """Each row alone, everything read again at every token."""
    return alone(of_family, questions, sources)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_batch_answers_as_each_row_alone_in_every_family(
    request, of_family, one_by_one, new_ids, questions, sources, way
):
    together = new_ids(of_family, questions, sources, **WAYS[way])

    assert together == one_by_one
    assert together[0] != new_ids(of_family, questions[:1], [[]])[0]


def test_prompt_lookup_answers_as_without_in_every_family(
    of_family, one_by_one, new_ids, questions, sources
):
    if getattr(of_family.base.config, "sliding_window", None) == 8:
        pytest.skip("transformers itself cannot take guesses back from a sliding window")

    guessed = new_ids(of_family, questions[:1], sources[:1], prompt_lookup_num_tokens=3)

    assert guessed[0] == one_by_one[0]


@pytest.mark.parametrize("family", ["gemma2", "olmo2", "granite", "gpt2", "opt", "gpt_neox"])
def test_another_family_is_refused_and_told_which_work(tokenizer, make_model, family):
    names = {"gpt2": {"n_embd": 32, "n_layer": 4, "n_head": 4}}
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), **names.get(family, {**SMALL, "num_hidden_layers": 4})
    )
    base = AutoModelForCausalLM.from_config(config)

    with pytest.raises(ValueError, match=family) as error:
        DiekaeModel(base, tokenizer, make_model().encoders)

    assert all(name in str(error.value) for name in FAMILIES)


def test_a_listed_family_that_scales_what_it_adds_is_refused_by_the_probe(base, make_model):
    base.model.layers[1].register_forward_hook(lambda _m, _a, output: output * 0.5)

    with pytest.raises(ValueError, match="does not simply add"):
        make_model()

    mlp = base.model.layers[1].mlp
    assert not mlp._forward_hooks

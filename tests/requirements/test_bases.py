"""R8 and R12 of what users of both hosts ask for: which base models, and what is not needed."""

from __future__ import annotations

import socket
import warnings

import pytest
import pytest_socket
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from diekae_rag import DiekaeModel, Encoders

from .conftest import QUESTION, documents


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_r8_a_quantized_base_model_answers_from_passages(
    make_host, make_model, tokenizer, tmp_path, bits
):
    pytest.importorskip("bitsandbytes")
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4}
    wide = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=2, **shape)
    LlamaForCausalLM(wide).save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a kernel that this machine has not got
        base = AutoModelForCausalLM.from_pretrained(
            tmp_path,
            quantization_config=BitsAndBytesConfig(**{f"load_in_{bits}": True}),
            device_map="cpu",
        )
    config = make_model(initializer_range=1.0).encoders.config
    config.base_hidden_size = 64
    encoders = Encoders(config)
    for up in encoders.up.values():
        torch.nn.init.normal_(up.weight, std=0.5)
    host = make_host(DiekaeModel(base, tokenizer, encoders))

    assert "bit" in type(base.model.layers[0].mlp.up_proj).__name__
    assert host.ask(QUESTION, documents(host)).text != host.ask(QUESTION).text


def test_r8_a_base_model_that_is_spread_out_answers_as_a_whole_one(
    make_host, model, base_folder, tokenizer, tmp_path
):
    whole = make_host(model)
    want = whole.ask(QUESTION, documents(whole)).text
    places = {"model.embed_tokens": "cpu", "model.norm": "cpu", "model.rotary_emb": "cpu"}
    places |= {f"model.layers.{n}": "disk" if n > 1 else "cpu" for n in range(4)}
    base = AutoModelForCausalLM.from_pretrained(
        base_folder, device_map={**places, "lm_head": "cpu"}, offload_folder=tmp_path / "spread"
    )
    assert any(weight.device.type == "meta" for weight in base.parameters())

    host = make_host(DiekaeModel(base, tokenizer, model.encoders))

    assert host.ask(QUESTION, documents(host)).text == want


def test_r8_encoders_follow_the_base_models_precision(make_host, make_model, base):
    base.to(torch.bfloat16)
    model = make_model(passage_attention="independent", positions="all", initializer_range=1.0)
    host = make_host(model)

    assert host.ask(QUESTION, documents(host)).usage[host.new_tokens] == 8


def test_r12_nothing_is_fetched_and_no_gpu_is_needed(host):
    with pytest.raises(pytest_socket.SocketBlockedError):
        socket.socket()

    assert host.ask(QUESTION, documents(host)).text
    assert host.llm.engine.device.type == "cpu" or torch.cuda.is_available()

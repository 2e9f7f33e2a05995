"""A base model spread out or quantized still teaches, and what cannot be had is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from diekae_rag.training.base import BaseParts
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.finetuning import Finetuning
from diekae_rag.training.loading import base_window, encoder_config, load_base
from diekae_rag.training.plan import TrainingPlan
from diekae_rag.training.stages import build_objective


@pytest.fixture
def plan(reader, tokenizer, tmp_path):
    """A plan over ``reader`` on disk; options are keyword arguments."""
    reader.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return lambda **options: TrainingPlan(str(tmp_path / "base"), ("train.jsonl",), **options)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("name", ["distill", "differences"])
def test_a_quantized_base_model_teaches(make_encoders, tokenizer, draw, tmp_path, bits, name):
    wide = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128,
        num_hidden_layers=3, num_attention_heads=2,
    )  # fmt: skip
    LlamaForCausalLM(wide).save_pretrained(tmp_path)
    plan = TrainingPlan(str(tmp_path), ("train.jsonl",), quantization=bits)
    base, encoders = load_base(plan, torch.device("cpu")), make_encoders(base_hidden_size=64)
    with build_objective(name, BaseParts(base), encoders) as objective:
        loss, _ = objective(draw(encoders.config))
        loss.backward()

    assert "bit" in type(base.model.layers[0].mlp.up_proj).__name__
    assert loss.isfinite()
    assert encoders.up["2"].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", [Outputs, Differences])
def test_a_base_model_that_lies_partly_on_the_disk_teaches_the_same(
    plan, reader, make_encoders, draw, tmp_path, kind
):
    places = {
        name: "cpu" for name in ("embed_tokens", "layers.0", "layers.2", "norm", "rotary_emb")
    }
    places |= {"layers.1": "disk"}
    spread = AutoModelForCausalLM.from_pretrained(
        plan().base,
        device_map={f"model.{name}": place for name, place in places.items()} | {"lm_head": "cpu"},
        offload_folder=tmp_path / "offloaded",
    )
    batch = draw((encoders := make_encoders()).config)

    want = kind(BaseParts(reader), encoders).targets(batch)
    got = kind(BaseParts(spread), encoders).targets(batch)

    assert next(spread.model.layers[1].parameters()).device.type == "meta"
    for name, tensor in want.items():
        torch.testing.assert_close(got[name], tensor)


def test_a_device_map_is_passed_on(plan):
    load_base(plan(device_map="auto"), torch.device("cpu"))

    with pytest.raises(ValueError, match="nowhere"):
        load_base(plan(device_map="nowhere"), torch.device("cpu"))


def test_a_base_model_that_is_itself_trained_is_in_full_precision(plan):
    options = {"dtype": "bfloat16", "quantization": "8bit"}
    base = load_base(plan(**options), torch.device("cpu"), is_trained=True)

    assert {p.dtype for p in base.parameters()} == {torch.float32}


def test_dtype_is_the_plans(plan):
    assert load_base(plan(dtype="bfloat16"), torch.device("cpu")).dtype == torch.bfloat16


def test_a_base_model_in_bfloat16_trains_encoders_in_full_precision(plan, make_encoders, draw):
    base = load_base(plan(dtype="bfloat16"), torch.device("cpu"))
    for name in ("warmup", "distill", "differences", "finetune"):
        with build_objective(name, BaseParts(base), encoders := make_encoders()) as objective:
            loss, _ = objective(draw(encoders.config))
            loss.backward()
        assert loss.isfinite()
        assert encoders.up["2"].weight.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("count", "layers"),
    [(3, [0, 1, 2]), (8, list(range(8))), (32, [3, 7, 11, 15, 19, 23, 27, 31])],
)
def test_recommended_layers_are_spread_evenly_and_reach_the_last(plan, count, layers):
    chosen = plan()
    path = Path(chosen.base, "config.json")
    path.write_text(
        path.read_text().replace('"num_hidden_layers": 3', f'"num_hidden_layers": {count}')
    )

    assert encoder_config(chosen).layers == layers


def test_the_papers_encoders_are_the_defaults(plan):
    config = encoder_config(plan(preset="paper", encoders={"layers": [0, 1]}))

    assert (config.sharing, config.positions, config.passage_attention) == (
        "separate",
        "prompt",
        "joint",
    )
    assert (config.base_hidden_size, config.base_num_hidden_layers) == (32, 3)
    assert base_window(plan()) == 2048


def test_objectives_that_inject_are_the_ones_that_ask_for_hooks(reader, make_encoders):
    for name, needed in (("warmup", False), ("distill", False), ("finetune", True)):
        with build_objective(name, BaseParts(reader), make_encoders()) as objective:
            assert (objective._injection is not None) == needed
    assert Finetuning.needs_injection

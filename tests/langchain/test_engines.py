"""The model behind the model: given or loaded by name, once, and told from others."""

import json
from copy import deepcopy

import pytest
import torch
from langchain_core.runnables import ConfigurableField
from langchain_diekae import DiekaeLLM
from langchain_diekae.engines import identify_base
from transformers import BitsAndBytesConfig

from diekae_rag import DiekaeModel

from .conftest import QUESTION


def test_configurable_fields_do_not_load_the_engine_again(llm, model, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("loaded again")

    monkeypatch.setattr(DiekaeModel, "from_pretrained", refuse)
    chosen = llm.configurable_fields(max_new_tokens=ConfigurableField(id="length"))
    shorter = chosen.with_config(configurable={"length": 2})

    assert shorter.invoke(QUESTION) == model.generate(QUESTION, max_new_tokens=2).text
    prepared, _ = chosen.prepare({"configurable": {"length": 2}})
    assert prepared.engine is model
    assert prepared.nonce == llm.nonce


def test_an_engine_loaded_by_name_is_loaded_once_and_again_for_another_name(model, monkeypatch):
    loaded = []

    def load(name):
        loaded.append(name)
        return DiekaeModel(model.base, model.tokenizer, model.encoders)

    model.detach()
    monkeypatch.setattr(DiekaeModel, "from_pretrained", load)
    llm = DiekaeLLM(model="demo", max_new_tokens=2)
    chosen = llm.configurable_fields(
        mode=ConfigurableField(id="mode"), model=ConfigurableField(id="model")
    )

    chosen.with_config(configurable={"mode": "none"}).invoke(QUESTION)
    assert loaded == ["demo"]
    llm.engine.detach()
    other, _ = chosen.prepare({"configurable": {"model": "elsewhere"}})
    assert loaded == ["demo", "elsewhere"]
    assert other.engine is not llm.engine
    other.engine.detach()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, ValueError),
        ({"engine": "demo"}, TypeError),
        ({"model": "./nowhere"}, FileNotFoundError),
        ({"model": "demo", "mode": "telepathy"}, ValueError),
        ({"model": "demo", "stop": [""]}, ValueError),
        ({"model": "demo", "max_new_tokens": 0}, ValueError),
        ({"model": "demo", "temperature": -1}, ValueError),
        ({"model": "demo", "top_p": 0.5}, ValueError),
        ({"model": "demo", "options": {"max_length": 3}}, TypeError),
        ({"model": "demo", "options": {"temperature": 1.0}}, ValueError),
        ({"model": "demo", "options": {"stop": ["a"]}}, ValueError),
        ({"model": "demo", "streaming": True}, ValueError),
        ({"model": "demo", "nonce": "a]b"}, ValueError),
    ],
    ids=str,
)
def test_nonsense_is_refused_at_construction(fields, error):
    with pytest.raises(error):
        DiekaeLLM(**fields)


def test_engine_and_model_together_are_refused(model):
    with pytest.raises(ValueError, match="pass one of them"):
        DiekaeLLM(engine=model, model="demo")


def have(**attributes):
    return lambda base: vars(base.config).update(attributes)


@pytest.mark.parametrize(
    "change",
    [
        have(_name_or_path="org/other"),
        have(_commit_hash="c0ffee"),
        have(quantization_config=BitsAndBytesConfig(load_in_8bit=True)),
        lambda base: base.to(torch.bfloat16),
    ],
    ids=["name", "commit", "quantization", "dtype"],
)
def test_base_models_are_told_apart_in_json_values_alike_for_each_copy(base, change):
    base.config.name_or_path = "org/toy"
    before = identify_base(base)
    change(base)

    after = identify_base(base)

    assert after != before
    assert json.loads(json.dumps(after)) == after == identify_base(deepcopy(base))


def test_a_base_model_without_a_name_is_like_no_other(base):
    assert identify_base(base) == identify_base(base) != identify_base(deepcopy(base))


def test_adapters_tell_base_models_apart_even_under_one_name(base):
    peft = pytest.importorskip("peft")
    base.config.name_or_path = "org/toy"
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)

    one, other = (peft.get_peft_model(deepcopy(base), lora) for _ in range(2))

    in_use = identify_base(one)
    with one.disable_adapter():
        assert identify_base(one) != in_use
    assert in_use == identify_base(one) != identify_base(other)
    assert in_use["adapters"] == ["default"]
    assert identify_base(base)["adapters"] == []

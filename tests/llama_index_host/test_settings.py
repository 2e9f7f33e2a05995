"""What the model is told when it is made: kept, copied, serialized, or refused."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
from llama_index.core import Settings
from llama_index.core.extractors import KeywordExtractor
from llama_index.llms.diekae import DiekaeLLM

from diekae_rag import locations


@pytest.fixture
def saved(model, tmp_path) -> Path:
    """A folder like that of the reader that ships: encoders name the base model beside them."""
    model.base.save_pretrained(tmp_path / "reader")
    model.tokenizer.save_pretrained(tmp_path / "reader")
    model.encoders.config.base_model_name_or_path = "../reader"
    model.encoders.save_pretrained(tmp_path / "encoders")
    return tmp_path


def test_metadata_tells_the_truth(make_llm, model):
    metadata = make_llm(model_name="tiny", max_new_tokens=7).metadata

    assert metadata.context_window == model.window
    assert metadata.num_output == 7
    assert metadata.model_name == "tiny"
    assert not metadata.is_chat_model
    assert not metadata.is_function_calling_model


@pytest.mark.parametrize(
    "fields",
    [
        {"max_new_tokens": 0},
        {"mode": "x"},
        {"stop": [""]},
        {"options": {"x": 1}},
        {"engine": "x"},
        {"streaming": True},
        {"max_tokens": 5},
        {"tempreature": 0.5},
    ],
    ids=str,
)
def test_nonsense_is_refused_at_construction(fields, make_llm):
    with pytest.raises((ValueError, TypeError)):
        make_llm(**fields)


def test_a_missing_folder_is_refused_at_construction(tmp_path):
    with pytest.raises(FileNotFoundError):
        DiekaeLLM(model_name=str(tmp_path / "nothing"))


def test_it_may_be_the_model_of_the_whole_host(llm, index, spy, people, question, monkeypatch):
    monkeypatch.setattr(Settings, "_llm", None)
    Settings.llm = llm

    answer = index.as_query_engine().query(question)

    assert Settings.llm is llm
    assert str(answer) == llm.complete(question, documents=people).text
    assert not any(spy.prompts_mention(text) for text in people)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, DiekaeLLM.model_copy])
def test_copies_share_the_engine(copied, llm, question):
    other = copied(llm)

    assert other.engine is llm.engine
    assert other.complete(question).text == llm.complete(question).text


def test_the_engine_stays_out_of_what_is_serialized_or_printed(llm):
    assert "engine" not in llm.to_dict()
    assert "DiekaeModel" not in repr(llm)
    assert json.dumps(llm.to_payload())


@pytest.mark.parametrize(
    "options", [{"max_new_tokens": 2}, {"temperature": 0.5}, {"stop": ["."]}], ids=str
)
def test_options_do_not_overrule_a_field(options, make_llm):
    with pytest.raises(ValueError, match=f"options holds {next(iter(options))}"):
        make_llm(options=options)


def test_the_name_of_an_engine_is_not_the_name_of_a_model_to_load(make_llm, model):
    model.encoders.config.base_model_name_or_path = "../reader"

    llm = make_llm()

    assert llm.model_name == ""
    assert llm.metadata.model_name == "../reader"


def test_what_was_loaded_by_name_is_loaded_again(saved, question, monkeypatch):
    monkeypatch.setattr(locations, "demo_folder", lambda: saved)
    llm = DiekaeLLM(max_new_tokens=3, options={"repetition_penalty": 1.5})

    again = DiekaeLLM.from_dict(llm.to_dict())

    assert again.model_name == again.metadata.model_name == "demo"
    assert again.to_dict() == llm.to_dict()
    assert again.complete(question).text == llm.complete(question).text


def test_what_was_given_an_engine_asks_for_one_again(make_llm, model, question):
    llm = make_llm(stop=["."])

    with pytest.raises(ValueError, match="model_name is empty"):
        DiekaeLLM.from_dict(llm.to_dict())
    again = DiekaeLLM.from_dict(llm.to_dict(), engine=model)

    assert again.to_dict() == llm.to_dict()
    assert again.complete(question).text == llm.complete(question).text


def keep_all(prompt, variables):
    """A gate that pickle can find again."""
    return False


def test_pickling_takes_nothing_away(llm, question):
    before = llm.complete(question).text

    pickle.dumps(llm)

    assert llm.complete(question).text == before


def test_what_was_loaded_by_name_is_unpickled(saved, question, monkeypatch):
    monkeypatch.setattr(locations, "demo_folder", lambda: saved)
    llm = DiekaeLLM(max_new_tokens=3, stop=["."], should_route=keep_all)

    again = pickle.loads(pickle.dumps(llm))

    assert again.to_dict() == llm.to_dict()
    assert again.should_route is keep_all
    assert again.complete(question).text == llm.complete(question).text


def test_what_was_given_an_engine_is_not_unpickled_without_it(llm):
    pickled = pickle.dumps(llm)

    with pytest.raises(ValueError, match="model_name is empty"):
        pickle.loads(pickled)


def test_a_part_that_holds_it_keeps_it_when_pickled(llm):
    extractor = KeywordExtractor(llm=llm)

    pickle.dumps(extractor)

    assert extractor.llm is llm
    assert extractor.llm.engine is llm.engine

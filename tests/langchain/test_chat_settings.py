"""How a chat model is set up: standard names, configurable fields, serialisation, refusals."""

import copy
import json
import pickle

import pytest
from langchain_core.load import dumpd, dumps, load
from langchain_core.runnables import ConfigurableField
from langchain_diekae import ChatDiekae

from diekae_rag import PromptTooLongError

from .conftest import CHAT_WAYS, DOCUMENTS, QUESTION

every_way = pytest.mark.parametrize("ask", CHAT_WAYS.values(), ids=list(CHAT_WAYS))


@pytest.fixture
def named(base_folder, model, tmp_path):
    """A chat model that is loaded by the name of a folder."""
    model.base.config.name_or_path = str(base_folder)
    model.save_pretrained(tmp_path / "encoders")
    model.detach()
    return ChatDiekae(model=str(tmp_path / "encoders"), max_tokens=8, stop=["\0"])


@every_way
def test_options_count_in_a_call_and_in_the_constructor(chat, model, ask):
    shorter = model.generate(QUESTION, max_new_tokens=3).text

    assert ask(chat, QUESTION, max_new_tokens=3) == ask(chat, QUESTION, max_tokens=3) == shorter
    assert ask(ChatDiekae(engine=model, max_new_tokens=3), QUESTION) == shorter
    assert ask(ChatDiekae(engine=model, max_tokens=3), QUESTION) == shorter


@every_way
@pytest.mark.parametrize("length", [1, 3, 7])
def test_stop_strings_end_the_answer_alike_and_are_trimmed(model, ask, length):
    chat = ChatDiekae(engine=model, max_new_tokens=12)
    whole = chat.invoke(QUESTION, documents=DOCUMENTS).text
    stop = whole[4 : 4 + length]

    answer = ask(chat, QUESTION, documents=DOCUMENTS, stop=[stop])

    assert answer == whole[: whole.index(stop)]
    assert (
        ask(ChatDiekae(engine=model, max_new_tokens=12, stop=[stop]), QUESTION, documents=DOCUMENTS)
        == answer
    )


@every_way
@pytest.mark.parametrize(
    "wrong",
    [
        {"document": []},
        {"timeout": 3},
        {"model": "elsewhere"},
        {"max_tokens": 3, "max_new_tokens": 3},
        {"documents": "Ada lives in Turin."},
        {"documents": [3]},
    ],
    ids=str,
)
def test_what_cannot_be_honoured_raises(chat, ask, wrong):
    with pytest.raises(TypeError):
        ask(chat, QUESTION, **wrong)


@every_way
@pytest.mark.parametrize(
    "wrong",
    [{"stop": [""]}, {"mode": "telepathy"}, {"max_tokens": 0}, {"temperature": -1.0}],
    ids=str,
)
def test_values_that_cannot_be_raise(chat, ask, wrong):
    with pytest.raises(ValueError, match=r"."):
        ask(chat, QUESTION, **wrong)


@pytest.mark.parametrize("name", ["timeout", "max_retries", "api_key", "documents"])
def test_a_field_that_cannot_be_honoured_raises(model, name):
    with pytest.raises(ValueError, match=name):
        ChatDiekae(engine=model, **{name: 1})


@every_way
def test_documents_that_can_be_read_once_only_are_refused(chat, ask):
    """A binding, a retry or a fallback would find nothing left, and answer without."""
    with pytest.raises(TypeError, match="read once"):
        ask(chat, QUESTION, documents=iter(DOCUMENTS))


@every_way
def test_a_prompt_that_is_too_long_is_a_clear_error(chat, ask):
    with pytest.raises(PromptTooLongError, match="Shorten"):
        ask(chat, "why " * 600)


def test_configurable_fields_keep_the_engine(chat, model):
    chosen = chat.configurable_fields(
        max_new_tokens=ConfigurableField("length"), mode=ConfigurableField("mode")
    )
    config = {"configurable": {"length": 3, "mode": "stuff"}}

    prepared, _ = chosen.prepare(config)
    answer = chosen.invoke(QUESTION, config, documents=DOCUMENTS)

    assert prepared.engine is model
    texts = [document.page_content for document in DOCUMENTS]
    assert answer.text == model.generate(QUESTION, texts, "stuff", max_new_tokens=3).text


def test_configurable_alternatives_choose_a_model(chat, llm, model):
    longer = ChatDiekae(engine=model, max_new_tokens=12)
    chosen = chat.configurable_alternatives(ConfigurableField("which"), longer=longer)

    answer = chosen.invoke(QUESTION, {"configurable": {"which": "longer"}})

    assert answer.text == longer.invoke(QUESTION).text != chat.invoke(QUESTION).text


def test_a_model_that_was_loaded_by_name_is_saved_as_its_fields(named):
    written = json.loads(dumps(named))

    again = load(written, allowed_objects=[ChatDiekae], valid_namespaces=["langchain_diekae"])

    assert written["id"] == ["langchain_diekae", "chat", "ChatDiekae"]
    assert again.asdict() == named.asdict()
    assert (
        again.invoke(QUESTION, documents=DOCUMENTS).text
        == named.invoke(QUESTION, documents=DOCUMENTS).text
    )


def test_copies_share_the_engine_and_pickles_load_it_by_name_again(chat, llm, named):
    for copied in (copy.deepcopy(chat), copy.deepcopy(llm), chat.model_copy(deep=True)):
        assert copied.engine is chat.engine
    assert pickle.loads(pickle.dumps(named)).asdict() == named.asdict()
    assert b"torch" not in pickle.dumps(named)
    for own in (chat, llm):
        with pytest.raises(TypeError, match="loaded by name can"):
            pickle.dumps(own)


def test_it_tells_agents_how_much_it_reads(chat, named, model):
    for one in (chat, named):
        assert one.profile["max_input_tokens"] == model.window
        assert one.profile["structured_output"]


def test_an_engine_of_ones_own_is_not_saved_and_neither_is_the_nonce(chat, named):
    assert dumpd(chat)["type"] == "not_implemented"
    for model in (chat, named):
        assert model.nonce not in dumps(model)
        assert "Linear" not in dumps(model)


def test_it_does_not_claim_to_call_tools(chat):
    assert not chat.profile["tool_calling"]
    with pytest.raises(NotImplementedError, match="DiekaeMiddleware"):
        chat.bind_tools([{"name": "add", "description": "Adds.", "input_schema": {}}])


def test_tokens_are_counted_by_the_base_models_tokenizer_without_documents(chat, model):
    carrying = chat.wire.attach(QUESTION, [])

    assert chat.get_num_tokens(carrying) == len(
        model.tokenizer(QUESTION, add_special_tokens=False).input_ids
    )

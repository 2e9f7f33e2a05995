"""Whoever asked learns what went wrong: no error becomes an empty response."""

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate

from diekae_rag import DiekaeError

MODES = ["compact", "refine", "tree_summarize"]


@pytest.fixture(params=[ValueError, TypeError])
def broken(request, llm, monkeypatch):
    """The model, failing while it generates with an error that query engines swallow."""

    def fail(*args, **options):
        raise request.param("cannot do that")

    monkeypatch.setattr(llm.engine.base, "generate", fail)
    return llm


@pytest.mark.parametrize("mode", MODES)
def test_errors_reach_whoever_asked(mode, index, broken, question):
    with pytest.raises(RuntimeError, match="cannot do that"):
        index.as_query_engine(llm=broken, response_mode=mode).query(question)


@pytest.mark.parametrize("mode", MODES)
async def test_errors_reach_whoever_asked_in_a_coroutine(mode, index, broken, question):
    with pytest.raises(RuntimeError, match="cannot do that"):
        await index.as_query_engine(llm=broken, response_mode=mode).aquery(question)


@pytest.mark.parametrize("mode", MODES)
def test_errors_reach_whoever_reads_a_stream(mode, index, broken, question):
    engine = index.as_query_engine(llm=broken, response_mode=mode, streaming=True)

    with pytest.raises(RuntimeError, match="cannot do that"):
        str(engine.query(question))


@pytest.mark.parametrize("mode", ["compact", "refine"])
async def test_errors_reach_whoever_reads_an_async_stream(mode, index, broken, question):
    engine = index.as_query_engine(llm=broken, response_mode=mode, streaming=True)

    with pytest.raises(RuntimeError, match="cannot do that"):
        await (await engine.aquery(question)).get_response()


def test_an_empty_question_is_an_error_not_an_empty_response(index, llm):
    with pytest.raises(RuntimeError, match="prompt is empty"):
        index.as_query_engine(llm=llm).query(" ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"documents": "Ilma."}, "must be a list"),
        ({"documents": [7]}, "cannot read a passage from int"),
        ({"documents": 7}, "must be a list"),
        ({"mode": "telepathy"}, "mode must be one of"),
        ({"stop": [""]}, "stop string is empty"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"max_new_tokens": 5000}, "the base model has 4096 positions"),
        ({"wibble": 1}, "unknown option"),
        ({"num_return_sequences": 2, "temperature": 1.0}, "one answer"),
    ],
)
async def test_bad_input_is_a_clear_error(ask, options, message, llm, question):
    with pytest.raises(DiekaeError, match=message):
        await ask(llm, question, **options)


async def test_so_is_an_empty_question(ask, llm):
    with pytest.raises(DiekaeError, match=r"(prompt is|messages are) empty"):
        await ask(llm, " ")


@pytest.mark.parametrize("entry", ["complete", "acomplete", "stream_complete", "astream_complete"])
async def test_so_is_a_prompt_that_is_no_text(ask, llm, question):
    with pytest.raises(DiekaeError, match="prompt must be a str, got list"):
        await ask(llm, [ChatMessage(question)])


@pytest.mark.parametrize("entry", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_so_are_messages_that_are_none(ask, llm, question):
    with pytest.raises(DiekaeError, match="must be a list of ChatMessage, got dict"):
        await ask(llm, [{"role": "user", "content": question}])
    with pytest.raises(DiekaeError, match="empty of any question"):
        await ask(llm, [])


async def test_so_is_an_error_in_a_wording_of_the_users_own(ask, make_llm, question):
    def fail(asked):
        raise KeyError("persona")

    llm = make_llm(messages_to_prompt=fail, completion_to_prompt=fail)

    with pytest.raises(DiekaeError, match="KeyError: 'persona'") as caught:
        await ask(llm, question)
    assert isinstance(caught.value.__cause__, KeyError)


def test_so_is_an_error_in_a_gate_of_the_users_own(make_llm):
    llm = make_llm(should_route=lambda prompt, variables: variables["persona"])

    with pytest.raises(DiekaeError, match="KeyError: 'persona'"):
        llm.predict(PromptTemplate("{context_str} {query_str}"), context_str="", query_str="?")


@pytest.mark.parametrize("is_chat_model", [False, True])
def test_a_template_that_fails_is_no_empty_response(make_llm, question, is_chat_model):
    def fail(**variables):
        raise ValueError("nothing to format")

    template = PromptTemplate("{context_str}{query_str}", function_mappings={"context_str": fail})
    llm = make_llm(is_chat_model=is_chat_model)

    with pytest.raises(DiekaeError, match="nothing to format"):
        llm.predict(template, context_str="Ada.", query_str=question)

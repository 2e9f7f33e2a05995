"""LangChain's cache of a chat model's answers: never one from other passages or options."""

import asyncio

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_diekae import ChatDiekae

from diekae_rag import DiekaeModel, Passage

from .conftest import DOCUMENTS, QUESTION

ADA, BOB = DOCUMENTS[:1], DOCUMENTS[1:]
ASKED = HumanMessage(QUESTION)
WAYS = {
    "invoke": lambda chat, q, **kw: chat.invoke(q, **kw),
    "ainvoke": lambda chat, q, **kw: asyncio.run(chat.ainvoke(q, **kw)),
    "batch": lambda chat, q, **kw: chat.batch([q], **kw)[0],
    "bind": lambda chat, q, **kw: chat.bind(**kw).invoke(q),
}
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


@pytest.fixture(autouse=True)
def cache():
    set_llm_cache(InMemoryCache())
    yield
    set_llm_cache(None)


@pytest.fixture
def computed(monkeypatch):
    """The prompts that were really answered."""
    prompts = []
    whole = DiekaeModel.generate

    def note(self, prompt, *args, **kwargs):
        prompts.append(prompt)
        return whole(self, prompt, *args, **kwargs)

    monkeypatch.setattr(
        DiekaeModel, "generate", lambda self, **kwargs: note(self, kwargs.pop("prompt"), **kwargs)
    )
    return prompts


@every_way
@pytest.mark.parametrize("kind", [list, tuple, lambda ds: [Passage(d.page_content) for d in ds]])
def test_other_documents_get_another_answer(chat, computed, ask, kind):
    from_ada = ask(chat, QUESTION, documents=kind(ADA)).text
    from_bob = ask(chat, QUESTION, documents=kind(BOB)).text

    assert from_ada != from_bob
    assert ask(chat, QUESTION, documents=kind(ADA)).text == from_ada
    assert len(computed) == 2


@pytest.mark.parametrize(
    "carry",
    [
        lambda ds: [HumanMessage(QUESTION, additional_kwargs={"documents": ds})],
        lambda ds: [ASKED, ToolMessage("Found.", tool_call_id="1", artifact=ds)],
        lambda ds: [
            HumanMessage([QUESTION, *({"type": "text-plain", "text": d.page_content} for d in ds)])
        ],
    ],
    ids=["kwargs", "artifact", "blocks"],
)
def test_other_documents_of_messages_get_another_answer(chat, computed, carry):
    answers = [chat.invoke(carry(documents)).text for documents in (ADA, BOB, ADA)]

    assert answers[0] == answers[2] != answers[1]
    assert len(computed) == 2


@every_way
@pytest.mark.parametrize(
    "option",
    [{"mode": "stuff"}, {"max_tokens": 3}, {"stop": ["a"]}, {"repetition_penalty": 9.0}],
    ids=str,
)
def test_other_options_get_another_answer(chat, computed, ask, option):
    for asked in ({}, option, option, {}):
        ask(chat, QUESTION, documents=ADA, **asked)

    assert len(computed) == 2


@pytest.mark.parametrize(
    "fields", [{"stop": ["a"]}, {"chat_format": "plain"}, {"top_k": 3, "temperature": 1.0}], ids=str
)
def test_other_fields_get_another_answer(templated, computed, fields):
    one = ChatDiekae(engine=templated, max_new_tokens=4)
    other = ChatDiekae(engine=templated, max_new_tokens=4, **fields)

    for chat in (one, other, one, other):
        chat.invoke(QUESTION)

    assert len(computed) == 2


def test_another_template_gets_another_answer(templated, computed):
    chat = ChatDiekae(engine=templated, max_new_tokens=4)
    chat.invoke(QUESTION)
    templated.tokenizer.chat_template += "Well, "

    chat.invoke(QUESTION)

    assert computed == ["<s>[USR] Where does Ada live?[SYS]"] * 1 + [
        "<s>[USR] Where does Ada live?[SYS]Well, "
    ]


def test_other_encoders_get_another_answer(make_model, computed):
    for layers in ([1, 3], [0, 1], [1, 3]):
        engine = make_model(layers=layers)
        ChatDiekae(engine=engine, max_new_tokens=4).invoke(QUESTION, documents=ADA)

    assert len(computed) == 2


@every_way
def test_an_answer_from_the_cache_says_so_and_keeps_its_sources(chat, ask):
    first, second, third = (ask(chat, QUESTION, documents=ADA) for _ in range(3))

    cached = [answer.response_metadata.get("is_cached") for answer in (first, second, third)]
    assert cached == [None, True, True]
    assert first.response_metadata["sources"] == third.response_metadata["sources"]
    assert second.usage_metadata["input_tokens"] == first.usage_metadata["input_tokens"]


def test_without_a_cache_nothing_is_kept(model, computed):
    chat = ChatDiekae(engine=model, max_new_tokens=2, cache=False)

    assert chat.invoke(QUESTION).text == chat.invoke(QUESTION).text
    assert len(computed) == 2

"""LangChain has standard tests of chat models; these are ours of a plain one: ways by promises."""

import asyncio

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import ConfigurableField
from langchain_diekae import DiekaeLLM

from diekae_rag import DiekaeModel

from .conftest import DOCUMENTS, QUESTION, WAYS, Recorder, collect

ADA, BOB = DOCUMENTS[:1], DOCUMENTS[1:]
# What LangChain wraps around a model has no `generate`, and its streams ask no cache.
WRAPPED = {name: way for name, way in WAYS.items() if "generate" not in name}
CACHED = {name: way for name, way in WAYS.items() if "stream" not in name and "trans" not in name}
MAIN = ["invoke", "astream", "abatch"]
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


def too_long(llm):
    """It leaves no room for any prompt, so every call fails."""
    return DiekaeLLM(engine=llm.engine, max_new_tokens=511)


WRAPPINGS = {
    "bind": lambda llm: llm.bind(stop=["\0"]),
    "with_config": lambda llm: llm.with_config(tags=["a"], run_name="asked"),
    "with_retry": lambda llm: llm.with_retry(),
    "with_fallbacks": lambda llm: llm.with_fallbacks([too_long(llm)]),
    "used fallback": lambda llm: too_long(llm).with_fallbacks([llm]),
    "configurable field": lambda llm: (
        too_long(llm)
        .configurable_fields(max_new_tokens=ConfigurableField("length"))
        .with_config(configurable={"length": 8})
    ),
    "configurable alternative": lambda llm: (
        too_long(llm)
        .configurable_alternatives(ConfigurableField("which"), ours=llm)
        .with_config(configurable={"which": "ours"})
    ),
    "with_listeners": lambda llm: llm.with_listeners(on_end=lambda run: None),
    "with_types": lambda llm: llm.with_types(input_type=str),
}
every_wrapping = pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=list(WRAPPINGS))


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def heard(model, recorder):
    """A model whose calls are recorded."""
    return DiekaeLLM(engine=model, max_new_tokens=8, callbacks=[recorder])


# --- equal answers


@every_way
def test_every_way_in_gives_the_answer_of_the_core(llm, expected, ask):
    assert ask(llm, QUESTION, documents=DOCUMENTS) == expected != ask(llm, QUESTION)


@every_wrapping
@pytest.mark.parametrize("ask", [WAYS[way] for way in MAIN], ids=MAIN)
def test_a_wrapped_model_gives_the_same_answer(llm, expected, wrap, ask):
    assert ask(wrap(llm), QUESTION, documents=DOCUMENTS) == expected


@pytest.mark.parametrize("ask", WRAPPED.values(), ids=list(WRAPPED))
def test_bound_documents_do_the_same(llm, expected, ask):
    assert ask(llm.bind(documents=DOCUMENTS), QUESTION) == expected


# --- stop strings


@every_way
@pytest.mark.parametrize("length", [1, 3, 7])
def test_stop_strings_end_the_answer_alike_and_are_trimmed(model, ask, length):
    llm = DiekaeLLM(engine=model, max_new_tokens=12)
    whole = llm.invoke(QUESTION, documents=DOCUMENTS)
    stop = whole[4 : 4 + length]

    answer = ask(llm, QUESTION, documents=DOCUMENTS, stop=[stop])

    assert answer == whole[: whole.index(stop)]


@every_way
def test_stop_strings_of_constructor_and_call_both_count(model, ask):
    whole = DiekaeLLM(engine=model, max_new_tokens=12).invoke(QUESTION)
    early, late = whole[2:5], whole[6:9]

    llm = DiekaeLLM(engine=model, max_new_tokens=12, stop=[late])

    assert ask(llm, QUESTION, stop=[early]) == whole[: whole.index(early)]
    assert ask(llm, QUESTION, stop=["\0"]) == whole[: whole.index(late)]


# --- callbacks and usage


@pytest.mark.parametrize("way", [way for way in WAYS if way not in CACHED])
def test_callbacks_of_streams_hear_every_token(heard, recorder, expected, way):
    WAYS[way](heard, QUESTION, documents=DOCUMENTS)

    assert len(recorder.tokens) > 1
    assert "".join(recorder.tokens) == expected


@every_way
def test_callbacks_hear_the_question_and_the_answer_with_usage_and_sources(
    heard, recorder, expected, ask
):
    ask(heard, QUESTION, documents=DOCUMENTS)

    assert any(QUESTION in prompt for prompt in recorder.starts)
    assert len(recorder.results) == len(recorder.starts)
    (info,) = [g.generation_info for g in recorder.results if g.text == expected]
    usage = info["usage"]
    assert usage["output_tokens"] == 8
    assert usage["total_tokens"] == usage["input_tokens"] + 8
    assert usage["knowledge_tokens"] == usage["knowledge_tokens_kept_out"] > 10
    assert info["sources"][0]["id"] == "ada"


# --- cache


@every_way
def test_a_cache_gives_no_answer_from_other_documents(model, ask):
    llm = DiekaeLLM(engine=model, max_new_tokens=8, cache=InMemoryCache())
    plain = DiekaeLLM(engine=model, max_new_tokens=8)

    for documents in (ADA, BOB, ADA):
        answer = ask(llm, QUESTION, documents=documents)
        assert answer == plain.invoke(QUESTION, documents=documents)


@pytest.mark.parametrize("ask", CACHED.values(), ids=list(CACHED))
def test_a_cache_spares_the_second_answer(model, ask, monkeypatch):
    answered = []
    for name in ("generate", "generate_as_completed"):
        whole = getattr(DiekaeModel, name)

        def watched(self, prompts, *args, whole=whole, **kwargs):
            answered.extend(prompts)
            return whole(self, prompts, *args, **kwargs)

        monkeypatch.setattr(DiekaeModel, name, watched)
    llm = DiekaeLLM(engine=model, max_new_tokens=8, cache=InMemoryCache())

    first = ask(llm, QUESTION, documents=ADA)
    count = len(answered)

    assert ask(llm, QUESTION, documents=ADA) == first
    assert len(answered) == count > 0


# --- retries


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch", "abatch"])
def test_a_retry_asks_again(llm, expected, way, monkeypatch):
    failures = iter([RuntimeError("once")])
    whole = DiekaeModel.generate

    def fails_once(self, *args, **kwargs):
        for error in failures:
            raise error
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(DiekaeModel, "generate", fails_once)
    retrying = llm.with_retry(wait_exponential_jitter=False)

    assert WAYS[way](retrying, QUESTION, documents=DOCUMENTS) == expected


# --- many at once


def test_many_async_calls_at_once_answer_as_one_by_one(llm):
    prompts = [f"Where does {name} live?" for name in ("Ada", "Bob", "Cleo", "Dan")]
    alone = [llm.invoke(prompt, documents=DOCUMENTS) for prompt in prompts]

    async def all_at_once():
        streams = [collect(llm.astream(prompt, documents=DOCUMENTS)) for prompt in prompts]
        calls = [llm.ainvoke(prompt, documents=DOCUMENTS) for prompt in prompts]
        return await asyncio.gather(*streams, *calls)

    assert asyncio.run(all_at_once()) == [*alone, *alone]

"""LangChain's cache of answers: never an answer from other passages, options or encoders."""

import asyncio
from copy import deepcopy

import pytest
import torch
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_diekae import DiekaeLLM
from langchain_diekae.engines import fingerprint

from diekae_rag import DiekaeModel

from .conftest import DOCUMENTS, QUESTION

ADA, BOB = DOCUMENTS[:1], DOCUMENTS[1:]


@pytest.fixture
def cache():
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.fixture
def computed(monkeypatch):
    """The prompts that were really answered."""
    prompts = []
    whole = DiekaeModel.generate
    monkeypatch.setattr(
        DiekaeModel,
        "generate",
        lambda self, p, *a, **kw: prompts.extend(p) or whole(self, p, *a, **kw),
    )
    return prompts


CACHED_WAYS = {
    "invoke": lambda llm, q, **kw: llm.invoke(q, **kw),
    "ainvoke": lambda llm, q, **kw: asyncio.run(llm.ainvoke(q, **kw)),
    "batch": lambda llm, q, **kw: llm.batch([q], **kw)[0],
    "abatch": lambda llm, q, **kw: asyncio.run(llm.abatch([q], **kw))[0],
}


@pytest.mark.parametrize("ask", CACHED_WAYS.values(), ids=list(CACHED_WAYS))
def test_other_documents_get_another_answer(llm, cache, computed, ask):
    from_ada = ask(llm, QUESTION, documents=ADA)
    from_bob = ask(llm, QUESTION, documents=BOB)

    assert from_ada != from_bob
    assert (ask(llm, QUESTION, documents=ADA), len(computed)) == (from_ada, 2)


@pytest.mark.parametrize("ask", CACHED_WAYS.values(), ids=list(CACHED_WAYS))
@pytest.mark.parametrize(
    "option",
    [
        {"mode": "stuff"},
        {"mode": "none"},
        {"max_new_tokens": 3},
        {"repetition_penalty": 9.0},
        {"attribute": True},
    ],
    ids=str,
)
def test_other_options_get_another_answer(llm, cache, computed, ask, option):
    for asked in ({}, option, option, {}):
        ask(llm, QUESTION, documents=ADA, **asked)

    assert len(computed) == 2


def test_lists_for_each_prompt_stay_aligned_when_some_answers_are_cached(llm, cache, computed):
    alone = [
        llm.invoke(prompt, documents=documents)
        for prompt, documents in (("1?", ADA), ("2?", BOB), ("3?", ADA))
    ]
    cache.clear()
    llm.invoke("2?", documents=BOB)
    computed.clear()

    together = llm.batch(["1?", "2?", "3?"], documents=[ADA, BOB, ADA])

    assert (together, computed) == (alone, ["1?", "3?"])


def test_documents_by_document_prompt_are_told_apart(llm, cache):
    prompts = [f"{llm.format_docs(documents)}\n\n{QUESTION}" for documents in (ADA, BOB)]

    assert llm.invoke(prompts[0]) != llm.invoke(prompts[1])


def test_a_cached_answer_has_its_sources(llm, cache):
    first, second = (llm.generate([QUESTION], documents=ADA).generations[0][0] for _ in range(2))

    assert first.generation_info == second.generation_info
    assert second.generation_info["sources"][0]["id"] == "ada"


def test_other_encoders_get_another_answer(make_model, cache):
    first = make_model(layers=[1, 3])
    answer = DiekaeLLM(engine=first, max_new_tokens=8).invoke(QUESTION, documents=ADA)
    second = make_model(layers=[0, 1])

    other = DiekaeLLM(engine=second, max_new_tokens=8).invoke(QUESTION, documents=ADA)

    assert other != answer
    assert other == second.generate(QUESTION, ADA, max_new_tokens=8).text


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("", lambda base: base),
        ("", lambda base: base.lm_head.weight.data.neg_()),
        ("org/toy", lambda base: base.to(torch.bfloat16)),
    ],
    ids=["unnamed", "unnamed with other weights", "another dtype"],
)
def test_another_base_model_gets_its_own_answer(
    base, make_model, tokenizer, cache, computed, name, change
):
    base.config.name_or_path = name
    other = deepcopy(base)
    change(other)
    model = make_model()
    beside = DiekaeModel(other, tokenizer, model.encoders)

    for engine in (model, beside, model, beside):
        DiekaeLLM(engine=engine, max_new_tokens=2).invoke(QUESTION, documents=ADA)

    assert len(computed) == 2


def test_the_same_named_base_model_loaded_again_shares_its_answers(
    base, make_model, tokenizer, cache, computed
):
    base.config.name_or_path = "org/toy"
    again = deepcopy(base)
    model = make_model()

    for engine in (model, DiekaeModel(again, tokenizer, model.encoders)):
        DiekaeLLM(engine=engine, max_new_tokens=2).invoke(QUESTION, documents=ADA)

    assert len(computed) == 1


def test_a_fingerprint_tells_weights_apart_and_follows_training(make_model):
    one = make_model()
    before = fingerprint(one)
    twin = make_model()

    assert fingerprint(twin) == before
    with torch.no_grad():
        next(iter(twin.encoders.up.values())).weight.add_(1.0)
    assert fingerprint(twin) != before == fingerprint(one)


def test_with_its_own_nonce_a_cache_outlives_the_process(model, cache, computed):
    for _ in range(2):
        llm = DiekaeLLM(engine=model, nonce="ours", max_new_tokens=2)
        llm.invoke(QUESTION, documents=ADA)

    assert len(computed) == 1

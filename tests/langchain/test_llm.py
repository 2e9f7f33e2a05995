"""DiekaeLLM: every way in answers alike, and the base model never reads a document."""

import asyncio

import pytest
import torch
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.prompt_values import StringPromptValue
from langchain_diekae import DiekaeLLM

from diekae_rag import DiekaeModel, Passage
from diekae_rag.prompting import start_tokens

from .conftest import DOCUMENTS, QUESTION, SECRETS, WAYS, collect

every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


@every_way
def test_the_base_model_never_reads_a_document(llm, read_by_base, ask):
    ask(llm, QUESTION, documents=DOCUMENTS)

    assert any(QUESTION in text for text in read_by_base)
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]
    assert not any("diekae" in text for text in read_by_base)


@every_way
def test_stuffing_puts_the_same_documents_into_the_prompt(llm, read_by_base, ask):
    ask(llm, QUESTION, documents=DOCUMENTS, mode="stuff")

    assert any("Zanzibar" in text for text in read_by_base)


@every_way
def test_without_documents_it_is_the_base_model(llm, model, ask):
    tokenizer = model.tokenizer
    worded = model.wording.tokenize_prompts(tokenizer, [QUESTION])[0]
    ids = torch.tensor([start_tokens(tokenizer) + worded])
    output = model.base.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    text = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)

    answer = model.wording.read_answer(text)

    assert ask(llm, QUESTION) == ask(llm, QUESTION, documents=[]) == answer


@every_way
@pytest.mark.parametrize("nothing", [[], None, [Document(page_content=" \n")]], ids=str)
def test_no_documents_are_no_knowledge(llm, ask, nothing):
    assert ask(llm, QUESTION, documents=nothing) == llm.invoke(QUESTION)


@pytest.mark.parametrize(
    "documents",
    [
        [d.page_content for d in DOCUMENTS],
        [Passage(d.page_content) for d in DOCUMENTS],
        [{"text": d.page_content} for d in DOCUMENTS],
        tuple(DOCUMENTS),
        [DOCUMENTS],
        {d.page_content: None for d in DOCUMENTS}.keys(),
    ],
    ids=["str", "Passage", "mapping", "tuple", "one list per prompt", "iterable"],
)
def test_documents_come_in_many_shapes(llm, expected, documents):
    assert llm.invoke(QUESTION, documents=documents) == expected


@pytest.mark.parametrize(
    "question", [StringPromptValue(text=QUESTION), [HumanMessage(QUESTION)]], ids=["value", "chat"]
)
def test_prompt_values_and_messages_are_questions_too(llm, question):
    assert llm.invoke(question, documents=DOCUMENTS) == "".join(
        llm.stream(question, documents=DOCUMENTS)
    )


def test_each_prompt_of_a_batch_may_have_its_own_documents(llm):
    prompts = [QUESTION, "Who is Bob?", QUESTION]
    documents = [DOCUMENTS[:1], None, DOCUMENTS[1:]]
    alone = [llm.invoke(p, documents=d) for p, d in zip(prompts, documents, strict=True)]

    assert llm.batch(prompts, documents=documents) == alone
    assert llm.batch(prompts, {"max_concurrency": 2}, documents=documents) == alone
    assert asyncio.run(llm.abatch(prompts, {"max_concurrency": 2}, documents=documents)) == alone
    assert alone[0] != alone[2]


def test_lists_of_documents_that_do_not_match_the_prompts_raise(llm):
    with pytest.raises(ValueError, match=r"2 prompts came with 3 lists"):
        llm.batch([QUESTION] * 2, documents=[DOCUMENTS] * 3)


def test_a_batch_is_one_batch_for_the_core(llm, monkeypatch):
    calls = []
    whole = DiekaeModel.generate
    monkeypatch.setattr(
        DiekaeModel,
        "generate",
        lambda self, p, *a, **kw: calls.append(p) or whole(self, p, *a, **kw),
    )

    llm.batch([QUESTION, "Who?", "When?"], documents=DOCUMENTS)

    assert calls == [[QUESTION, "Who?", "When?"]]


def test_async_calls_leave_the_event_loop_running(llm):
    async def ticks_during(work):
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await work
        ticking.cancel()
        return ticks

    options = {"documents": DOCUMENTS, "max_new_tokens": 60}

    assert asyncio.run(ticks_during(llm.ainvoke(QUESTION, **options))) > 5
    assert asyncio.run(ticks_during(collect(llm.astream(QUESTION, **options)))) > 5


def test_a_worded_prompt_is_read_as_it_is_and_documents_stay_out_of_it(model, llm, read_by_base):
    worded = DiekaeLLM(engine=model, max_new_tokens=8, is_worded=True)
    prompt = f"<s>[USR] {QUESTION}[SYS]"

    assert worded.invoke(prompt, documents=DOCUMENTS) == llm.invoke(QUESTION, documents=DOCUMENTS)
    assert "".join(worded.stream(prompt)) == llm.invoke(QUESTION)
    assert not any(secret in text for text in read_by_base for secret in SECRETS)
    assert worded._identifying_params != llm._identifying_params

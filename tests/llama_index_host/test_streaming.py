"""Streams and coroutines: the same answers, nothing left running."""

from __future__ import annotations

import asyncio
import time

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.llms.diekae.calls import Responses

from .conftest import is_generating

TEXT = "Ilma Bresk was born in Kolwick."


def test_the_pieces_of_a_stream_are_the_answer(llm, question):
    responses = list(llm.stream_complete(question, documents=[TEXT], max_new_tokens=12))
    whole = llm.complete(question, documents=[TEXT], max_new_tokens=12)

    assert len(responses) > 2
    assert "".join(r.delta for r in responses) == responses[-1].text == whole.text
    assert responses[-1].raw["sources"] == whole.raw["sources"]
    assert responses[-1].raw["usage"]["new_tokens"] == 12


def test_a_chat_streams_alike(llm, question):
    messages = [ChatMessage(question)]

    responses = list(llm.stream_chat(messages, documents=[TEXT]))

    whole = llm.chat(messages, documents=[TEXT])
    assert "".join(r.delta for r in responses) == responses[-1].message.content
    assert responses[-1].message.content == whole.message.content
    assert responses[-1].raw["sources"] == whole.raw["sources"]


async def test_async_forms_give_the_same(llm, question):
    messages, given = [ChatMessage(question)], {"documents": [TEXT]}
    text = llm.complete(question, **given).text

    assert (await llm.acomplete(question, **given)).text == text
    assert (await llm.achat(messages, **given)).message.content == text
    completions = [r async for r in await llm.astream_complete(question, **given)]
    chats = [r async for r in await llm.astream_chat(messages, **given)]
    assert completions[-1].text == "".join(r.delta for r in completions) == text
    assert chats[-1].message.content == "".join(r.delta for r in chats) == text


@pytest.mark.parametrize("entry", ["acomplete", "achat", "astream_complete", "astream_chat"])
async def test_eight_at_once_do_not_mix(entry, make_llm, question):
    llm = make_llm(max_new_tokens=8)
    prompts = [f"{question} {n * n}" for n in range(8)]
    documents = [[f"Person {n} lives in Town {n}."] for n in range(8)]
    alone = [
        llm.complete(prompt, documents=given).text
        for prompt, given in zip(prompts, documents, strict=True)
    ]

    async def asked(prompt, given):
        said = prompt if "complete" in entry else [ChatMessage(prompt)]
        work = getattr(llm, entry)(said, documents=given)
        answer = (await drain(work))[-1] if "stream" in entry else await work
        return answer.text if "complete" in entry else answer.message.content

    assert await asyncio.gather(*map(asked, prompts, documents)) == alone
    assert len(set(alone)) > 4


async def test_beams_are_awaited_too(llm, question):
    given = {"documents": [TEXT], "num_beams": 2}

    assert (await llm.acomplete(question, **given)).text == llm.complete(question, **given).text


@pytest.fixture
def forwards(model):
    """Counts what the base model computes; ``forwards[0]`` is the count."""
    count = [0]

    def note(*_):
        count[0] += 1

    handle = model.base.register_forward_pre_hook(note)
    yield count
    handle.remove()


@pytest.mark.parametrize("wait", [0.0, 0.001, 0.05])
@pytest.mark.parametrize("entry", ["acomplete", "achat"])
async def test_an_answer_nobody_waits_for_stops(entry, wait, make_llm, forwards, question):
    llm = make_llm(max_new_tokens=300)
    prompt = question if entry == "acomplete" else [ChatMessage(question)]
    task = asyncio.create_task(getattr(llm, entry)(prompt))
    await asyncio.sleep(wait)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    llm.complete(question, max_new_tokens=1)  # waits for its turn
    assert forwards[0] < 300


async def test_a_query_that_times_out_stops(index, make_llm, forwards, question):
    llm = make_llm(max_new_tokens=300)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(index.as_query_engine(llm=llm).aquery(question), 0.1)

    llm.complete(question, max_new_tokens=1)  # waits for its turn
    assert forwards[0] < 300


async def drain(stream):
    return [response async for response in await stream]


@pytest.mark.parametrize("entry", ["stream_complete", "stream_chat", "stream"])
@pytest.mark.parametrize("handlers", [[], [LlamaDebugHandler(print_trace_on_end=False)]])
def test_an_abandoned_stream_stops(entry, handlers, make_llm, question):
    from llama_index.core.prompts.default_prompts import DEFAULT_SIMPLE_INPUT_PROMPT

    llm = make_llm(max_new_tokens=3000, callback_manager=CallbackManager(handlers))
    stream = {
        "stream_complete": lambda: llm.stream_complete(question),
        "stream_chat": lambda: llm.stream_chat([ChatMessage(question)]),
        "stream": lambda: llm.stream(DEFAULT_SIMPLE_INPUT_PROMPT, query_str=question),
    }[entry]()
    next(stream)
    assert is_generating()

    del stream

    assert not is_generating()


async def test_an_abandoned_async_stream_stops(make_llm, question):
    llm = make_llm(max_new_tokens=3000)
    stream = await llm.astream_complete(question)
    await anext(stream)
    assert is_generating()

    await stream.aclose()

    assert not is_generating()


@pytest.mark.parametrize("wait", [0.0, 0.001, 0.05])
async def test_a_cancelled_async_stream_stops(wait, make_llm, question):
    llm = make_llm(max_new_tokens=3000)
    task = asyncio.create_task(drain(llm.astream_complete(question)))
    await asyncio.sleep(wait)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    until = time.monotonic() + 10
    while is_generating() and time.monotonic() < until:
        await asyncio.sleep(0.005)
    assert not is_generating()


def test_a_stream_never_read_never_generates(llm, question):
    llm.stream_complete(question)

    assert not is_generating()


def test_one_closed_before_it_began_never_generates(llm, question):
    responses = Responses(llm._call(question, True, {}))
    responses.close()

    assert responses.next() is None
    assert not is_generating()


def test_stop_strings_hold_while_streaming(llm, question):
    whole = llm.complete(question, max_new_tokens=12).text
    stop = whole[len(whole) // 2 :][:3]

    responses = list(llm.stream_complete(question, max_new_tokens=12, stop=stop))

    assert "".join(r.delta for r in responses) == whole.partition(stop)[0]


def test_an_error_while_generating_is_raised_at_once(llm, question, monkeypatch):
    def fail(*args, **kwargs):
        raise ValueError("out of luck")

    monkeypatch.setattr(llm.engine.base, "generate", fail)

    with pytest.raises(RuntimeError, match="out of luck"):
        list(llm.stream_complete(question))

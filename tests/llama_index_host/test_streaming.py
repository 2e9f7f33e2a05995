"""Streams and coroutines: the same answers, nothing left running."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.llms.diekae.calls import Responses

TEXT = "Ilma Bresk was born in Kolwick."


def is_generating() -> bool:
    return any(thread.name == "diekae-stream" for thread in threading.enumerate())


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


async def test_many_at_once_do_not_mix(llm, question):
    documents = [[TEXT], ["Tarn Odell lives in Morvane."], []]
    alone = [llm.complete(question, documents=given).text for given in documents]

    together = await asyncio.gather(*(llm.acomplete(question, documents=d) for d in documents))

    assert [response.text for response in together] == alone


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

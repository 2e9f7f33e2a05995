"""Streams that are left, broken or cancelled."""

import asyncio
import threading
import time
from contextlib import aclosing

import pytest
from langchain_diekae import DiekaeLLM

from diekae_rag import DiekaeModel

from .conftest import DOCUMENTS, QUESTION, WAYS, collect

LONG = 400


@pytest.fixture
def long_llm(model):
    return DiekaeLLM(engine=model, max_new_tokens=LONG)


@pytest.fixture
def tokens_read(model):
    """Counts the base model's forward passes."""
    passes = []
    handle = model.base.register_forward_pre_hook(lambda module, args: passes.append(1))
    yield passes
    handle.remove()


def test_tokens_come_before_the_answer_is_complete(long_llm, tokens_read):
    stream = long_llm.stream(QUESTION, documents=DOCUMENTS)

    next(stream)

    assert len(tokens_read) < LONG
    stream.close()


def test_leaving_a_stream_stops_the_model_and_joins_its_thread(
    long_llm, tokens_read, no_stream_is_left
):
    for _ in long_llm.stream(QUESTION, documents=DOCUMENTS):
        break

    assert no_stream_is_left(0)
    assert len(tokens_read) < LONG


def test_leaving_an_async_stream_stops_the_model(long_llm, tokens_read, no_stream_is_left):
    async def leave():
        async with aclosing(long_llm.astream(QUESTION, documents=DOCUMENTS)) as stream:
            async for _ in stream:
                break
        await asyncio.sleep(0.05)

    asyncio.run(leave())

    assert no_stream_is_left()
    assert len(tokens_read) < LONG


def test_cancelling_a_task_stops_the_model(long_llm, tokens_read, no_stream_is_left):
    async def cancel():
        task = asyncio.create_task(collect(long_llm.astream(QUESTION, documents=DOCUMENTS)))
        while not tokens_read:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert no_stream_is_left()
    assert len(tokens_read) < LONG


def test_cancelling_a_task_while_its_stream_opens_stops_the_model(
    long_llm, tokens_read, no_stream_is_left, monkeypatch
):
    is_opening = threading.Event()
    opened = DiekaeModel.stream

    def opens_slowly(self, *args, **kwargs):
        is_opening.set()
        time.sleep(0.1)
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(DiekaeModel, "stream", opens_slowly)

    async def cancel():
        task = asyncio.create_task(collect(long_llm.astream(QUESTION)))
        while not is_opening.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())

    assert no_stream_is_left()
    assert len(tokens_read) < LONG


def test_after_a_stream_was_left_the_model_answers_as_before(long_llm):
    before = long_llm.invoke(QUESTION, documents=DOCUMENTS, max_new_tokens=8)
    next(long_llm.stream(QUESTION, documents=DOCUMENTS))

    assert long_llm.invoke(QUESTION, documents=DOCUMENTS, max_new_tokens=8) == before


@pytest.mark.parametrize("ask", [WAYS["stream"], WAYS["astream"]], ids=["stream", "astream"])
def test_an_error_while_generating_is_raised_at_once(model, long_llm, ask):
    passes = []

    def breaks(module, args):
        passes.append(1)
        if len(passes) == 5:
            raise RuntimeError("the device is on fire")

    handle = model.base.register_forward_pre_hook(breaks)
    began = time.perf_counter()
    with pytest.raises(RuntimeError, match="on fire"):
        ask(long_llm, QUESTION)
    handle.remove()

    assert time.perf_counter() - began < 30


def test_an_error_in_the_reader_of_a_stream_stops_the_model(
    long_llm, tokens_read, no_stream_is_left
):
    def fail(piece):
        raise KeyError(piece)

    with pytest.raises(KeyError):
        list(map(fail, long_llm.stream(QUESTION)))

    assert no_stream_is_left()
    assert len(tokens_read) < LONG


def test_two_streams_read_in_turns_do_not_mix(llm):
    alone = [llm.invoke(QUESTION, documents=[document]) for document in DOCUMENTS]

    streams = [llm.stream(QUESTION, documents=[document]) for document in DOCUMENTS]
    texts = ["", ""]
    for _ in range(100):
        for number, stream in enumerate(streams):
            texts[number] += next(stream, "")

    assert texts == alone


def test_streams_survive_being_read_in_other_threads_and_contexts(llm, expected):
    async def in_turns():
        stream, pieces = llm.astream(QUESTION, documents=DOCUMENTS), []

        async def read():
            pieces.append(await anext(stream, None))

        while None not in pieces:
            await asyncio.create_task(read())  # each task has its own context
        return "".join(pieces[:-1])

    assert asyncio.run(in_turns()) == expected

"""R3, R4 and R6 of what users of both hosts ask for: streams, event loops, memory."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time

import pytest
import torch

from .conftest import HOSTS, QUESTION, documents, watching


def generations():
    """Threads that generate."""
    return [t for t in threading.enumerate() if t.name.startswith("diekae") and t.is_alive()]


def test_r3_pieces_come_while_the_answer_is_still_being_made(make_host, model):
    host = make_host(model, max_new_tokens=200)

    with watching(model) as passes:
        stream = host.stream(QUESTION, documents(host))
        next(stream)
        at_first_piece = len(passes)
        rest = list(stream)

    assert rest
    assert at_first_piece < len(passes) / 2


def test_r3_a_reader_who_goes_away_ends_the_generation(make_host, model):
    host = make_host(model, max_new_tokens=400)

    with watching(model) as passes:
        stream = host.stream(QUESTION, documents(host))
        next(stream)
        stream.close()
        ended = len(passes)
        time.sleep(0.2)

    assert not generations()
    assert ended == len(passes) < 400


def test_r3_a_coroutine_that_is_cancelled_ends_the_generation(make_host, model):
    host = make_host(model, max_new_tokens=400)

    async def begin_and_leave():
        async def read():
            async for _ in host.astream(QUESTION, documents(host)):
                started.set()

        started = asyncio.Event()
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with watching(model) as passes:
        asyncio.run(begin_and_leave())
        ended = len(passes)
        time.sleep(0.2)

    assert not generations()
    assert ended == len(passes) < 400


def test_r3_what_goes_wrong_while_generating_is_raised_at_once_and_as_it_is(host, model):
    def fail(module, args, kwargs):
        raise RuntimeError("the third layer is on fire")

    handle = model.base.register_forward_pre_hook(fail, with_kwargs=True)
    began = time.monotonic()
    try:
        with pytest.raises(RuntimeError, match="third layer is on fire"):
            list(host.stream(QUESTION, documents(host)))
    finally:
        handle.remove()

    assert time.monotonic() - began < 10  # a queue's time-out would take a minute
    assert "".join(host.stream(QUESTION, documents(host)))


def test_r4_the_event_loop_runs_on_while_an_answer_is_made(make_host, model):
    host = make_host(model, max_new_tokens=100)

    async def count_ticks():
        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticks = 0
        ticking = asyncio.create_task(tick())
        await host.aask(QUESTION, documents(host))
        ticking.cancel()
        return ticks

    assert asyncio.run(count_ticks()) > 5


def test_r4_calls_at_the_same_time_do_not_mix(host):
    given = documents(host)
    asked = [(QUESTION, given), ("Who?", []), (QUESTION, given[:1]), ("Where?", given)]

    async def together():
        return await asyncio.gather(*(host.aask(*each) for each in asked))

    assert asyncio.run(together()) == [host.ask(*each).text for each in asked]


def test_r6_a_thousand_calls_leave_no_tensor_behind(model):
    hosts = [make(model, max_new_tokens=1) for make in HOSTS.values()]

    def ask_each(times):
        for host in hosts * times:
            host.ask(QUESTION, documents(host))

    def tensors():
        gc.collect()
        return sum(isinstance(item, torch.Tensor) for item in gc.get_objects())

    ask_each(10)
    before = tensors()
    ask_each(334)

    assert tensors() <= before


def test_r6_what_comes_back_holds_no_tensor(host):
    whole = host.ask(QUESTION, documents(host)).whole

    assert b"torch" not in pickle.dumps(whole)

"""The event loop stays free whatever is asked, also while context is taken apart."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from llama_index.core import SummaryIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts.default_prompts import DEFAULT_TEXT_QA_PROMPT
from llama_index.core.schema import TextNode
from llama_index.llms.diekae import DiekaeSynthesizer

LONG = " ".join(f"Person number {n} lives in the town of Kolwick." for n in range(120))


async def drain(stream):
    return [response async for response in await stream]


@pytest.fixture
async def ticks():
    """Counts while the event loop is free; ``ticks[0]`` is the count."""
    count = [0]

    async def tick():
        for count[0] in itertools.count():
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    yield count
    ticking.cancel()


@pytest.fixture
def ticks_before_reading(model, ticks, monkeypatch):
    """The counts at which the engine got its passages: until then, context was taken apart."""
    counts = []

    def note(ask):
        def noting(*args, **options):
            counts.append(ticks[0])
            return ask(*args, **options)

        return noting

    monkeypatch.setattr(model, "generate", note(model.generate))
    monkeypatch.setattr(model, "stream", note(model.stream))
    return counts


@pytest.mark.parametrize("entry", ["acomplete", "achat", "astream_complete", "astream_chat"])
async def test_the_event_loop_stays_free(entry, ticks, llm, question):
    prompt = question if "complete" in entry else [ChatMessage(question)]
    work = getattr(llm, entry)(prompt, max_new_tokens=40)

    await (drain(work) if "stream" in entry else work)

    assert ticks[0] >= 10


@pytest.mark.parametrize("is_chat_model", [False, True])
@pytest.mark.parametrize("entry", ["apredict", "astream"])
async def test_so_it_does_while_context_is_taken_apart(
    entry, is_chat_model, ticks_before_reading, make_llm, question
):
    llm = make_llm(is_chat_model=is_chat_model, max_new_tokens=1)
    work = getattr(llm, entry)(DEFAULT_TEXT_QA_PROMPT, context_str=LONG, query_str=question)

    await (drain(work) if entry == "astream" else work)

    assert ticks_before_reading[0] >= 5


@pytest.mark.parametrize("is_synthesizer_ours", [False, True])
async def test_so_it_does_in_a_query(is_synthesizer_ours, ticks_before_reading, make_llm, question):
    llm = make_llm(max_new_tokens=1)
    ours = {"response_synthesizer": DiekaeSynthesizer(llm)} if is_synthesizer_ours else {}
    engine = SummaryIndex([TextNode(text=LONG)]).as_query_engine(llm=llm, **ours)

    await engine.aquery(question)

    assert ticks_before_reading[0] >= 5

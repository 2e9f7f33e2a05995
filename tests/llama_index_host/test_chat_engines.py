"""Unchanged chat engines: whatever the turn, passages go to the encoders and to no prompt."""

from __future__ import annotations

import pytest

RETRIEVING = ["context", "condense_plus_context", "condense_question"]
CONDENSING = ["condense_plus_context", "condense_question"]
NEXT = "And where now?"


async def chat(engine, message):
    return str(engine.chat(message))


async def achat(engine, message):
    return str(await engine.achat(message))


async def stream_chat(engine, message):
    return "".join(engine.stream_chat(message).response_gen)


async def astream_chat(engine, message):
    response = await engine.astream_chat(message)
    return "".join([piece async for piece in response.async_response_gen()])


WAYS = pytest.mark.parametrize("way", [chat, achat, stream_chat, astream_chat])


@WAYS
@pytest.mark.parametrize("mode", RETRIEVING)
async def test_a_chat_engine_sends_context_to_the_encoders(
    mode, way, index, llm, spy, people, question
):
    answer = await way(index.as_chat_engine(chat_mode=mode, llm=llm), question)

    assert all(spy.encoders_read(text) for text in people)
    assert {prompt.strip() for prompt in spy.prompts} == {question}
    assert answer.strip() == llm.complete(question, documents=list(people)).text.strip()


@WAYS
@pytest.mark.parametrize("mode", RETRIEVING)
async def test_a_second_turn_has_what_was_said_but_no_passage(
    mode, way, index, llm, spy, people, question
):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm)
    await way(engine, question)
    spy.prompts.clear()
    spy.passages.clear()

    await way(engine, NEXT)

    assert all(spy.encoders_read(text) for text in people)
    assert not any(spy.prompts_mention(text) for text in people)
    assert any(question in prompt and NEXT in prompt for prompt in spy.prompts)
    assert len(spy.prompts) == (2 if mode in CONDENSING else 1)


@WAYS
async def test_a_simple_chat_engine_has_no_context(way, index, llm, spy, question):
    engine = index.as_chat_engine(chat_mode="simple", llm=llm)

    assert (await way(engine, question)).strip() == llm.complete(question).text.strip()
    await way(engine, NEXT)

    assert spy.passages == []
    assert spy.prompts[0].strip() == question
    assert question in spy.prompts[-1]
    assert NEXT in spy.prompts[-1]


@pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
def test_a_chat_engine_keeps_the_users_system_prompt(mode, index, llm, spy, question):
    index.as_chat_engine(chat_mode=mode, llm=llm, system_prompt="Be kind.").chat(question)

    assert [prompt.strip() for prompt in spy.prompts] == [f"Be kind.\n{question}"]


def test_the_memory_of_a_chat_engine_fits_the_base_model(index, llm):
    engine = index.as_chat_engine(chat_mode="context", llm=llm)

    assert engine._memory.token_limit == llm.engine.window - 256


@WAYS
@pytest.mark.parametrize("mode", [*RETRIEVING, "simple"])
async def test_a_chat_engine_that_is_reset_begins_anew(mode, way, index, llm, spy, question):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm)
    first = await way(engine, question)
    asked = list(spy.prompts)
    await way(engine, NEXT)
    spy.prompts.clear()

    engine.reset()

    assert engine.chat_history == []
    assert await way(engine, question) == first
    assert spy.prompts == asked

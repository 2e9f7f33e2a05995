"""Forms to be filled: context goes to the encoders, and what is no form is an error."""

from __future__ import annotations

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts.default_prompts import DEFAULT_TEXT_QA_PROMPT
from pydantic import BaseModel

from diekae_rag import DiekaeError

MODES = ["compact", "refine", "tree_summarize", "simple_summarize"]
TEMPLATE = PromptTemplate("{context_str}\nFill the form: {query_str}")


class Town(BaseModel):
    name: str


KOLWICK = Town(name="Kolwick")


@pytest.fixture(autouse=True)
def kolwick(say) -> None:
    say(KOLWICK.model_dump_json())


@pytest.fixture(params=[False, True], ids=["text", "chat"])
def llm(request, make_llm):
    return make_llm(is_chat_model=request.param, max_new_tokens=18)


def assert_only_encoders_read(spy, people):
    assert all(spy.encoders_read(text) for text in people)
    assert spy.prompts
    assert not any(spy.prompts_mention(text) for text in people)


async def predict(llm, **given):
    return llm.structured_predict(Town, TEMPLATE, **given)


async def apredict(llm, **given):
    return await llm.astructured_predict(Town, TEMPLATE, **given)


async def stream(llm, **given):
    return list(llm.stream_structured_predict(Town, TEMPLATE, **given))[-1]


async def astream(llm, **given):
    forms = await llm.astream_structured_predict(Town, TEMPLATE, **given)
    return [form async for form in forms][-1]


FORMS = pytest.mark.parametrize("fill", [predict, apredict, stream, astream])


@FORMS
async def test_a_form_is_filled_from_what_only_encoders_read(fill, llm, spy, people, question):
    form = await fill(llm, context_str="\n\n".join(people), query_str=question)

    assert form == KOLWICK
    assert_only_encoders_read(spy, people)
    assert spy.prompts_mention("Fill the form")


@FORMS
async def test_passages_by_hand_go_with_the_context(fill, llm, spy, people, question):
    by_hand = {"documents": [people[0]]}

    await fill(llm, context_str=people[1], query_str=question, llm_kwargs=by_hand)

    assert_only_encoders_read(spy, people[:2])
    assert by_hand == {"documents": [people[0]]}


@FORMS
@pytest.mark.parametrize("answer", ["Kolwick.", '{"town": "Kolwick"}'])
async def test_an_answer_that_is_no_form_is_an_error(fill, answer, llm, say, people, question):
    say(answer)

    with pytest.raises(DiekaeError, match=r"JSON|json|Town"):
        await fill(llm, context_str=people[0], query_str=question)


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize"])
async def test_a_query_engine_fills_it(mode, index, llm, spy, people, question):
    engine = index.as_query_engine(llm=llm, response_mode=mode, output_cls=Town)

    assert engine.query(question).response == KOLWICK
    assert (await engine.aquery(question)).response == KOLWICK
    assert_only_encoders_read(spy, people)


@pytest.mark.parametrize("mode", ["compact", "refine"])
async def test_a_streaming_query_engine_leaks_nothing(mode, index, llm, spy, people, question):
    engine = index.as_query_engine(llm=llm, response_mode=mode, output_cls=Town, streaming=True)

    str(engine.query(question))
    assert_only_encoders_read(spy, people)
    spy.passages.clear()

    await engine.aquery(question)
    assert_only_encoders_read(spy, people)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("mode", ["compact", "refine"])
async def test_a_query_that_ends_in_no_form_is_no_empty_response(
    mode, streaming, index, llm, say, question
):
    say("Kolwick.")
    engine = index.as_query_engine(
        llm=llm, response_mode=mode, output_cls=Town, streaming=streaming
    )

    with pytest.raises(DiekaeError):
        engine.query(question)
    with pytest.raises(DiekaeError):
        await engine.aquery(question)


@pytest.mark.parametrize("mode", MODES)
async def test_a_structured_llm_leaks_nothing(mode, index, llm, spy, people, question):
    structured = llm.as_structured_llm(Town)
    engine = index.as_query_engine(llm=structured, response_mode=mode)

    assert engine.query(question).response == KOLWICK
    assert_only_encoders_read(spy, people)
    spy.passages.clear()

    assert (await engine.aquery(question)).response == KOLWICK
    assert_only_encoders_read(spy, people)


@pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # the host's own call
async def test_nor_does_it_streamed(llm, spy, people, question):
    structured = llm.as_structured_llm(Town)
    given = {"context_str": "\n\n".join(people), "query_str": question}

    list(structured.stream(DEFAULT_TEXT_QA_PROMPT, **given))
    assert_only_encoders_read(spy, people)
    spy.passages.clear()

    [piece async for piece in await structured.astream(DEFAULT_TEXT_QA_PROMPT, **given)]
    assert_only_encoders_read(spy, people)


async def test_messages_to_a_structured_llm_bring_their_documents(llm, spy, people, question):
    structured = llm.as_structured_llm(Town)
    first, second, third = people
    asked = [
        ChatMessage(f"Before: {question}", additional_kwargs={"documents": [second]}),
        ChatMessage(question, additional_kwargs={"documents": [third], "name": "Ada"}),
    ]

    assert structured.chat(asked, documents=[first]).raw == KOLWICK
    assert (await structured.achat(asked, documents=[first])).raw == KOLWICK
    assert_only_encoders_read(spy, people)
    assert asked[1].additional_kwargs == {"documents": [third], "name": "Ada"}


def test_a_structured_llm_keeps_what_a_prompt_is_about(llm, spy, people):
    llm.as_structured_llm(Town).predict(
        PromptTemplate("Sum up: {context_str}"), context_str=people[0]
    )

    assert spy.prompts_mention(people[0])
    assert spy.passages == []


def test_a_system_prompt_is_said_once_to_a_structured_llm(make_llm, spy, people, question):
    llm = make_llm(is_chat_model=True, max_new_tokens=18, system_prompt="Be kind.")

    llm.as_structured_llm(Town).predict(
        DEFAULT_TEXT_QA_PROMPT, context_str=people[0], query_str=question
    )

    assert spy.prompts[0].count("Be kind.") == 1


def test_a_structured_llm_that_gets_no_form_is_no_empty_response(index, llm, say, question):
    say("Kolwick.")

    with pytest.raises(DiekaeError):
        index.as_query_engine(llm=llm.as_structured_llm(Town)).query(question)

"""Forms that a chat model fills: asked for as JSON, read as JSON, and an error where none came."""

import asyncio
from itertools import pairwise
from typing import Annotated

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_diekae import ChatDiekae
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from .conftest import DOCUMENTS, QUESTION, SECRETS

TEXTS = [document.page_content for document in DOCUMENTS]
KOLWICK = {"name": "Kolwick"}
JSON = '{"name": "Kolwick"}'


class Town(BaseModel):
    """A town."""

    name: str = Field(description="what it is called")


class TownDict(TypedDict):
    """A town."""

    name: Annotated[str, ..., "what it is called"]


SCHEMAS = {
    "pydantic": (Town, Town(**KOLWICK)),
    "TypedDict": (TownDict, KOLWICK),
    "JSON schema": (Town.model_json_schema(), KOLWICK),
}
every_schema = pytest.mark.parametrize(("schema", "form"), SCHEMAS.values(), ids=list(SCHEMAS))


async def alast(stream):
    return [item async for item in stream][-1]


FILL = {
    "invoke": lambda chain, q, **kw: chain.invoke(q, **kw),
    "ainvoke": lambda chain, q, **kw: asyncio.run(chain.ainvoke(q, **kw)),
    "batch": lambda chain, q, **kw: chain.batch(["Who?", q], **kw)[1],
    "abatch": lambda chain, q, **kw: asyncio.run(chain.abatch(["Who?", q], **kw))[1],
    "stream": lambda chain, q, **kw: list(chain.stream(q, **kw))[-1],
    "astream": lambda chain, q, **kw: asyncio.run(alast(chain.astream(q, **kw))),
}
every_way = pytest.mark.parametrize("fill", FILL.values(), ids=list(FILL))


@pytest.fixture
def chat(model):
    return ChatDiekae(engine=model, max_new_tokens=40)


@pytest.fixture(autouse=True)
def kolwick(say):
    say(JSON)


@pytest.fixture
def read_by_encoders(model, monkeypatch):
    seen = []
    encode = model.reader.encode

    def note(texts):
        seen.extend(model.tokenizer.batch_decode(list(texts)))
        return encode(texts)

    monkeypatch.setattr(model.reader, "encode", note)
    return seen


@every_way
@every_schema
def test_a_form_is_filled_from_what_only_encoders_read(
    chat, read_by_base, read_by_encoders, fill, schema, form
):
    filled = fill(chat.with_structured_output(schema), QUESTION, documents=DOCUMENTS)

    assert filled == form
    assert all(any(text in read for read in read_by_encoders) for text in TEXTS)
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


@every_way
def test_the_raw_answer_comes_beside_the_form(chat, fill):
    chain = chat.with_structured_output(Town, include_raw=True)

    filled = fill(chain, QUESTION, documents=DOCUMENTS)

    raw = filled.pop("raw")
    assert filled == {"parsed": Town(**KOLWICK), "parsing_error": None}
    assert isinstance(raw, AIMessage | AIMessageChunk)
    assert raw.text == JSON
    assert [source["text"] for source in raw.response_metadata["sources"]] == TEXTS


@every_way
def test_an_answer_that_is_no_form_is_an_error_or_told_beside_the_raw_one(chat, say, fill):
    say("Kolwick.")

    with pytest.raises(OutputParserException, match=r"'Kolwick\.'.*max_new_tokens"):
        fill(chat.with_structured_output(Town), QUESTION)

    filled = fill(chat.with_structured_output(Town, include_raw=True), QUESTION)
    assert (filled["raw"].text, filled["parsed"]) == ("Kolwick.", None)
    assert isinstance(filled["parsing_error"], OutputParserException)


@pytest.mark.parametrize("fill", [FILL["invoke"], FILL["stream"]], ids=["invoke", "stream"])
@pytest.mark.parametrize("schema", [Town, Town.model_json_schema()], ids=["pydantic", "JSON"])
@pytest.mark.parametrize(
    "answer", [JSON[:-1], JSON[:-4], '{"town": "Kolwick"}', '"Kolwick"', '["name"]', "", "{}"]
)
def test_an_answer_that_is_cut_off_or_another_form_is_an_error(chat, say, fill, schema, answer):
    say(answer)

    with pytest.raises(OutputParserException, match=r"Town|JSON|name"):
        fill(chat.with_structured_output(schema), QUESTION)


@pytest.mark.parametrize(
    "answer", [f"```json\n{JSON}\n```", f"Here: ```{JSON}``` Bye.", f" {JSON}\n"]
)
def test_what_models_put_around_a_form_is_left_aside(chat, say, answer):
    say(answer)

    assert chat.with_structured_output(Town).invoke(QUESTION) == Town(**KOLWICK)


def test_a_stream_gives_the_form_as_it_fills(chat):
    names = [town.name for town in chat.with_structured_output(Town).stream(QUESTION)]

    assert len(names) > 2
    assert all(later.startswith(name) for name, later in pairwise(names))


def test_the_last_turn_asks_for_json_of_the_schema(chat, read_by_base):
    chat.with_structured_output(Town).invoke([("user", "Hi."), ("ai", "Hm?"), ("user", QUESTION)])

    asked = read_by_base[0]
    assert (
        asked.index(QUESTION) < asked.index("Answer with JSON") < asked.index("what it is called")
    )
    assert asked.endswith("[SYS]")


def test_json_mode_leaves_the_asking_to_the_prompt(chat, read_by_base):
    chain = chat.with_structured_output(Town, method="json_mode")

    assert chain.invoke(QUESTION) == Town(**KOLWICK)
    assert read_by_base[0].endswith(f"{QUESTION}[SYS]")


def test_a_schema_of_something_else_than_an_object_is_read_too(chat, say):
    say("[1, 2]")
    schema = {"title": "Numbers", "type": "array", "items": {"type": "integer"}}

    assert chat.with_structured_output(schema).invoke(QUESTION) == [1, 2]


def test_a_format_that_an_agent_asks_for_is_a_schema_or_refused(chat):
    schema = {"name": "town", "schema": Town.model_json_schema()}

    asked = chat.bind_tools([], response_format={"type": "json_schema", "json_schema": schema})

    assert asked.kwargs == {"json_schema": Town.model_json_schema()}
    with pytest.raises(ValueError, match="json_object"):
        chat.bind_tools([], response_format={"type": "json_object"})
    with pytest.raises(NotImplementedError, match="held to no schema"):
        chat.bind_tools([], response_format={"json_schema": {**schema, "strict": True}})


def test_documents_may_be_bound_to_what_fills_the_form(chat, read_by_encoders):
    chat.with_structured_output(Town).bind(documents=DOCUMENTS).invoke(QUESTION)

    assert all(any(text in read for read in read_by_encoders) for text in TEXTS)


def test_json_mode_needs_no_schema(chat, say):
    chain = chat.with_structured_output(method="json_mode")
    say("[1, 2]")

    assert chain.invoke(QUESTION) == [1, 2]


def test_a_schema_may_be_bound_and_told_from_others_by_a_cache(chat):
    strings = {
        chat._get_llm_string(json_schema=schema)
        for schema in (None, Town.model_json_schema(), {"title": "Other"})
    }

    assert len(strings) == 3
    assert chat.bind(json_schema={"title": "Other"}).invoke(QUESTION).text == JSON


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_prompts_and_messages_bring_documents_as_ever(chat, read_by_base, method):
    form = chat.with_structured_output(Town, method=method)
    prompt = ChatPromptTemplate.from_messages([("human", "{context}\n\n{input}")])
    carrying = HumanMessage(QUESTION, additional_kwargs={"documents": DOCUMENTS})

    filled = (prompt | form).invoke({"context": chat.format_docs(DOCUMENTS), "input": QUESTION})

    assert filled == form.invoke([carrying]) == Town(**KOLWICK)
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"method": "function_calling"}, NotImplementedError, "json_schema"),
        ({"strict": True}, NotImplementedError, "only be asked"),
        ({"method": "telepathy"}, ValueError, "telepathy"),
        ({"schema": None}, ValueError, "schema is missing"),
        ({"schema": {"type": "string"}}, ValueError, "title"),
        ({"tools": []}, TypeError, "tools"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_raises_before_any_call(chat, wrong, error, message):
    with pytest.raises(error, match=message):
        chat.with_structured_output(**{"schema": Town, **wrong})

"""What a chat answer says of itself: cost, sources, why it ended."""

import asyncio
import json

import pytest

from .conftest import DOCUMENTS, QUESTION


async def merged(stream):
    chunks = [chunk async for chunk in stream]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def streamed(chat, question, **options):
    chunks = list(chat.stream(question, **options))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


WAYS = {
    "invoke": lambda chat, q, **kw: chat.invoke(q, **kw),
    "stream": streamed,
    "astream": lambda chat, q, **kw: asyncio.run(merged(chat.astream(q, **kw))),
    "stream_events v3": lambda chat, q, **kw: chat.stream_events(q, version="v3", **kw).output,
}
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=list(WAYS))


@every_way
def test_usage_counts_what_was_read_written_and_kept_out(chat, model, ask):
    usage = model.generate(QUESTION, [d.page_content for d in DOCUMENTS], max_new_tokens=8).usage

    answer = ask(chat, QUESTION, documents=DOCUMENTS)

    assert dict(answer.usage_metadata) == {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": 8,
        "total_tokens": usage.prompt_tokens + 8,
        "input_token_details": {
            "knowledge": usage.knowledge_tokens,
            "knowledge_kept_out": usage.knowledge_tokens,
            "knowledge_from_kept_states": 0,
        },
    }
    assert usage.knowledge_tokens > 0


@every_way
def test_sources_keep_ids_scores_and_metadata(chat, ask):
    metadata = ask(chat, QUESTION, documents=DOCUMENTS).response_metadata

    first, second = metadata["sources"]
    assert (first["id"], first["score"], first["text"]) == ("ada", 0.75, "Ada lives in Zanzibar.")
    assert first["metadata"] == {"source": "people.txt", "tags": ["a", ["b"]]}
    assert second["score"] is None


@every_way
def test_an_answer_says_why_it_ended_and_when_it_began(chat, ask):
    metadata = ask(chat, QUESTION, documents=DOCUMENTS, stop=["\0"]).response_metadata

    assert (metadata["finish_reason"], metadata["mode"]) == ("length", "inject")
    assert metadata["model_name"]
    assert 0 < metadata["usage"]["seconds_to_first_token"] <= metadata["usage"]["total_seconds"]


def test_all_of_it_is_json(chat):
    answer = chat.invoke(QUESTION, documents=DOCUMENTS)

    assert json.loads(json.dumps(answer.response_metadata)) == answer.response_metadata


def test_a_stuffed_prompt_keeps_nothing_out(chat):
    injected = chat.invoke(QUESTION, documents=DOCUMENTS).usage_metadata
    stuffed = chat.invoke(QUESTION, documents=DOCUMENTS, mode="stuff").usage_metadata

    knowledge = stuffed["input_token_details"]["knowledge"]
    assert stuffed["input_token_details"]["knowledge_kept_out"] == 0
    assert stuffed["input_tokens"] == injected["input_tokens"] + knowledge


def test_an_empty_answer_is_an_answer(chat):
    first = chat.invoke(QUESTION).text[0]

    assert chat.invoke(QUESTION, stop=[first]).text == ""
    assert streamed(chat, QUESTION, stop=[first]).response_metadata["finish_reason"] == "stop"

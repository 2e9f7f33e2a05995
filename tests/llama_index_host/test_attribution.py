"""How much each passage contributed, beside the sources of every response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMCompletionEndEvent
from llama_index.llms.diekae import DiekaeSynthesizer

from diekae_rag import DiekaeError


@pytest.fixture
def expected(model, people, question):
    """What the core finds for the same passages."""
    answer = model.generate(question, people, max_new_tokens=4, attribute=True)
    return pytest.approx([found.nats for found in answer.attribution], abs=1e-4)


def found(response):
    return [source["attribution"]["nats"] for source in response.raw["sources"]]


async def test_every_way_of_asking_tells_what_each_passage_contributed(
    make_llm, people, question, expected
):
    llm, given = make_llm(attribute=True), {"documents": people}
    messages = [ChatMessage(question)]

    assert found(llm.complete(question, **given)) == expected
    assert found(await llm.acomplete(question, **given)) == expected
    assert found([*llm.stream_complete(question, **given)][-1]) == expected
    assert found([r async for r in await llm.astream_complete(question, **given)][-1]) == expected
    assert found(llm.chat(messages, **given)) == expected
    assert found([*llm.stream_chat(messages, **given)][-1]) == expected


def test_it_can_be_asked_for_in_a_call_and_costs_what_usage_says(llm, people, question, expected):
    response = llm.complete(question, documents=people, attribute=True)

    usage = response.raw["usage"]
    assert found(response) == expected
    assert usage["attribution_tokens"] == 4 * (usage["prompt_tokens"] + usage["new_tokens"])
    assert response.additional_kwargs["sources"] == response.raw["sources"]
    json.dumps(response.raw)
    assert "attribution" not in llm.complete(question, documents=people).raw["sources"][0]


class Responses(BaseEventHandler):
    responses: list[Any] = Field(default_factory=list)

    def handle(self, event, **kwargs):
        if isinstance(event, LLMCompletionEndEvent):
            self.responses.append(event.response)


@pytest.fixture
def events():
    handler, root = Responses(), get_dispatcher()
    root.add_event_handler(handler)
    yield handler.responses
    root.event_handlers.remove(handler)


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_query_engine_tells_it_in_the_events_of_the_host(
    make_llm, index, events, question, expected, is_apart
):
    llm = make_llm(attribute=True)
    chosen = {"response_synthesizer": DiekaeSynthesizer(llm)} if is_apart else {}

    index.as_query_engine(llm=llm, **chosen).query(question)

    assert len(events[-1].raw["sources"]) == 3
    assert found(events[-1]) == expected


def test_where_no_passage_is_read_it_is_refused(llm, people, question):
    with pytest.raises(DiekaeError, match="attribute=True asks what each passage contributed"):
        llm.complete(question, documents=people, attribute=True, mode="none")
    with pytest.raises(DiekaeError, match="attribute=True asks what each passage contributed"):
        list(llm.stream_complete(question, documents=people, attribute=True, mode="none"))

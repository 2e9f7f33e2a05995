"""How much each passage contributed, beside the sources of every response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core import SummaryIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMCompletionEndEvent
from llama_index.core.schema import NodeWithScore, TextNode
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


@pytest.mark.parametrize("streaming", [False, True])
async def test_the_metadata_of_each_node_tells_what_it_contributed(
    make_llm, people, question, expected, streaming
):
    llm = make_llm(attribute=True)
    nodes = [TextNode(text=text, id_=str(n), metadata={"page": n}) for n, text in enumerate(people)]
    engine = SummaryIndex(nodes).as_query_engine(
        llm=llm, response_synthesizer=DiekaeSynthesizer(llm, streaming=streaming)
    )

    for response in (engine.query(question), await engine.aquery(question)):
        if hasattr(response, "async_response_gen"):
            [piece async for piece in response.async_response_gen()]
        elif streaming:
            list(response.response_gen)
        told = [response.metadata[node.node_id] for node in nodes]
        assert [of_node["attribution"]["nats"] for of_node in told] == expected
        assert [of_node["page"] for of_node in told] == [0, 1, 2]
        assert all("attribution" not in node.node.metadata for node in response.source_nodes)


def test_a_long_node_has_the_sum_of_its_passages_and_a_users_own_value_stays(make_llm, question):
    llm = make_llm(attribute=True)
    long = TextNode(text="Ilma Bresk was born in Kolwick, they say. " * 12, id_="long")
    own = TextNode(text="Tarn Odell lives in Morvane.", id_="own", metadata={"attribution": "me"})
    nodes = [NodeWithScore(node=node) for node in (long, own)]

    told = DiekaeSynthesizer(llm).synthesize(question, nodes).metadata

    parts = [s["attribution"] for s in told["sources"] if s["id"] == "long"]
    assert len(parts) > 1
    for name in ("nats", "share"):
        assert told["long"]["attribution"][name] == pytest.approx(sum(p[name] for p in parts))
    assert told["own"] == {"attribution": "me"}


def test_without_asking_for_it_the_metadata_of_nodes_is_theirs(llm, index, question):
    engine = index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))

    told = engine.query(question).metadata

    assert [told[str(number)] for number in range(3)] == [{}, {}, {}]

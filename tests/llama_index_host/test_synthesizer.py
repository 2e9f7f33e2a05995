"""The synthesizer: one call, nodes apart, the same answer however it is asked for."""

from __future__ import annotations

import json

import pytest
from llama_index.core import MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.diekae import DiekaeSynthesizer

from tests.llama_index_host.conftest import is_generating


def test_nodes_stay_passages_of_one_call(llm, spy, question):
    texts = [f"Person {n} lives in Town {n}.\n\nIt is far away." for n in range(30)]
    index = VectorStoreIndex(
        [TextNode(text=text, metadata={"file": "a.txt"}) for text in texts],
        embed_model=MockEmbedding(embed_dim=4),
    )
    engine = index.as_query_engine(
        llm=llm, response_synthesizer=DiekaeSynthesizer(llm), similarity_top_k=30
    )

    answer = engine.query(question)

    assert [prompt.strip() for prompt in spy.prompts] == [question]
    assert len(spy.passages) == 30
    assert not spy.encoders_read("a.txt")
    assert len(answer.source_nodes) == 30


def test_scores_and_ids_survive(llm, question):
    seen = []
    llm.engine.generate = _spying(llm.engine.generate, seen)
    node = NodeWithScore(node=TextNode(text="Ada.", id_="7"), score=0.5)

    DiekaeSynthesizer(llm).synthesize(question, [node])

    assert [(p.id, p.score) for p in seen[0]] == [("7", 0.5)]


def _spying(generate, seen):
    def spying(prompt, passages, *rest, **options):
        seen.append(passages)
        return generate(prompt, passages, *rest, **options)

    return spying


def test_a_node_too_long_is_several_passages_of_its_id(llm, spy, question):
    node = NodeWithScore(node=TextNode(text="Ada lives in Kolwick with Bo. " * 20, id_="7"))

    DiekaeSynthesizer(llm).synthesize(question, [node])

    assert len(spy.prompts) == 1
    assert len(spy.passages) > 1


async def test_sync_async_and_streams_agree(index, llm, question):
    whole = index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))
    pieces = index.as_query_engine(
        llm=llm, response_synthesizer=DiekaeSynthesizer(llm, streaming=True)
    )
    text = str(whole.query(question))

    assert str(await whole.aquery(question)) == text
    assert "".join(pieces.query(question).response_gen) == text
    streamed = await pieces.aquery(question)
    assert "".join([piece async for piece in streamed.async_response_gen()]) == text


def test_no_nodes_is_the_hosts_empty_response(llm, question):
    engine = SummaryIndex([]).as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))

    assert str(engine.query(question)) == "Empty Response"


def test_another_model_is_refused():
    with pytest.raises(ValueError, match="needs a DiekaeLLM, got MockLLM"):
        DiekaeSynthesizer(MockLLM())


@pytest.mark.parametrize("setting", [{"output_cls": TextNode}, {"multimodal": True}], ids=str)
def test_what_it_could_not_honour_is_refused(setting, llm):
    with pytest.raises(TypeError, match=next(iter(setting))):
        DiekaeSynthesizer(llm, **setting)


def test_what_it_says_of_nothing_may_be_chosen(llm, question):
    synthesizer = DiekaeSynthesizer(llm, empty_response="I found nothing.")

    assert str(synthesizer.synthesize(question, [])) == "I found nothing."


@pytest.fixture
def nodes(people):
    return [
        NodeWithScore(node=TextNode(text=text, id_=str(n), metadata={"page": n}), score=1 - n / 4)
        for n, text in enumerate(people)
    ]


async def ask(synthesizer, question, nodes):
    return synthesizer.synthesize(question, nodes)


async def aask(synthesizer, question, nodes):
    return await synthesizer.asynthesize(question, nodes)


async def stream(synthesizer, question, nodes):
    return _streaming(synthesizer).synthesize(question, nodes).get_response()


async def astream(synthesizer, question, nodes):
    return await (await _streaming(synthesizer).asynthesize(question, nodes)).get_response()


def _streaming(synthesizer):
    return DiekaeSynthesizer(synthesizer.llm, streaming=True)


WAYS = pytest.mark.parametrize("way", [ask, aask, stream, astream])


@WAYS
async def test_a_response_tells_usage_and_sources_beside_the_metadata_of_its_nodes(
    way, make_llm, nodes, question
):
    llm = make_llm(attribute=True)
    expected = llm.complete(question, documents=nodes).raw

    response = await way(DiekaeSynthesizer(llm), question, nodes)

    told = response.metadata
    assert [told[node.node_id]["page"] for node in nodes] == [0, 1, 2]
    assert [(s["id"], s["score"]) for s in told["sources"]] == [("0", 1), ("1", 0.75), ("2", 0.5)]
    nats = [source["attribution"]["nats"] for source in told["sources"]]
    assert nats == pytest.approx(
        [source["attribution"]["nats"] for source in expected["sources"]], abs=1e-4
    )
    for figure in ("prompt_tokens", "new_tokens", "knowledge_tokens", "attribution_tokens"):
        assert told["usage"][figure] == expected["usage"][figure] > 0
    assert json.dumps(told)


@WAYS
async def test_the_users_nodes_stay_as_they_were(way, make_llm, nodes, question):
    before = [node.model_copy(deep=True) for node in nodes]

    response = await way(DiekaeSynthesizer(make_llm(attribute=True)), question, nodes)
    for source in response.metadata["sources"]:
        source["metadata"]["page"] = "changed"

    assert nodes == before
    assert response.source_nodes == nodes
    assert all(kept is given for kept, given in zip(response.source_nodes, nodes, strict=True))


def test_one_synthesizer_tells_each_response_its_own(llm, nodes, question):
    synthesizer = DiekaeSynthesizer(llm, streaming=True)
    first, second = (synthesizer.synthesize(question, [node]) for node in nodes[:2])

    for response in (second, first):
        assert "usage" not in response.metadata
        str(response)

    assert [s["id"] for s in first.metadata["sources"]] == ["0"]
    assert [s["id"] for s in second.metadata["sources"]] == ["1"]


def test_a_query_engine_hands_on_what_its_synthesizer_tells(index, llm, question):
    engine = index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))

    told = engine.query(question).metadata

    assert set(told) == {"0", "1", "2", "usage", "sources", "edits"}
    assert "attribution" not in told["sources"][0]


def test_texts_alone_are_read_too(llm, people, question):
    told = {}

    answer = DiekaeSynthesizer(llm).get_response(question, people, told=told)

    assert answer == DiekaeSynthesizer(llm).get_response(question, people)
    assert answer == llm.complete(question, documents=people).text
    assert [source["text"] for source in told["sources"]] == list(people)


async def test_an_async_stream_that_is_closed_stops_the_generation(make_llm, nodes, question):
    synthesizer = DiekaeSynthesizer(make_llm(max_new_tokens=400), streaming=True)
    response = await synthesizer.asynthesize(question, nodes)
    await anext(response.response_gen)
    assert is_generating()

    await response.response_gen.aclose()

    assert not is_generating()

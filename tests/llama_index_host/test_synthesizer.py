"""The synthesizer: one call, nodes apart, the same answer however it is asked for."""

from __future__ import annotations

import pytest
from llama_index.core import MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.diekae import DiekaeSynthesizer


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

"""Engines of several parts: choices are made in the open, answers from what encoders read."""

from __future__ import annotations

import json

import pytest
from llama_index.core import MockEmbedding, SummaryIndex, TreeIndex, VectorStoreIndex
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.postprocessor import LLMRerank, LongContextReorder
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
    TransformQueryEngine,
)
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.llms.diekae import DiekaeSynthesizer

TOWN = "Kolwick lies on the river Trauva."


@pytest.fixture
def llm(make_llm):
    return make_llm(max_new_tokens=120, stop=["~"])


@pytest.fixture
def answer(say):
    """Has the model answer with each text in turn and end there."""
    return lambda *texts: say(*(f"{text}~" for text in texts))


@pytest.fixture
def tools(index, llm):
    """Two engines to choose from: one knows the people, the other a town."""

    def tool(nodes, name):
        engine = nodes.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))
        return QueryEngineTool.from_defaults(engine, name=name, description=f"Knows {name}.")

    return [tool(index, "people"), tool(SummaryIndex([TextNode(text=TOWN)]), "towns")]


@pytest.fixture
def vectors(people):
    nodes = [TextNode(text=text, id_=str(n)) for n, text in enumerate(people)]
    return VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))


async def ask(engine, question):
    return engine.query(question)


async def aask(engine, question):
    return await engine.aquery(question)


WAYS = pytest.mark.parametrize("way", [ask, aask])


def assert_no_prompt_has(spy, *texts):
    assert spy.prompts
    assert not any(spy.prompts_mention(text) for text in texts)


@WAYS
async def test_a_router_chooses_in_the_open_and_answers_from_the_chosen(
    way, tools, llm, spy, answer, people, question
):
    answer(json.dumps([{"choice": 2, "reason": "towns"}]), "By the Trauva.")
    router = RouterQueryEngine.from_defaults(tools, llm=llm)

    response = await way(router, question)

    assert isinstance(router._selector, LLMSingleSelector)
    assert response.metadata["selector_result"].ind == 1
    assert [source["text"] for source in response.metadata["sources"]] == [TOWN]
    assert "Knows people." in spy.prompts[0]
    assert spy.prompts[1].strip() == question
    assert len(spy.passages) == 1
    assert_no_prompt_has(spy, TOWN, *people)


@WAYS
async def test_a_router_may_choose_several(way, tools, llm, spy, answer, people, question):
    choices = [{"choice": n, "reason": ""} for n in (1, 2)]
    answer(json.dumps(choices), "Kolwick.")
    router = RouterQueryEngine.from_defaults(
        tools, llm=llm, selector=LLMMultiSelector.from_defaults(llm=llm)
    )

    await way(router, question)

    assert all(spy.encoders_read(text) for text in (TOWN, *people))
    assert_no_prompt_has(spy, TOWN, *people)


@WAYS
async def test_questions_are_split_in_the_open_and_answered_from_passages(
    way, tools, llm, spy, answer, people, question
):
    parts = [{"sub_question": f"Which {name}?", "tool_name": name} for name in ("people", "towns")]
    answer(json.dumps({"items": parts}), "Ilma.", "Kolwick.", "By the Trauva.")
    engine = SubQuestionQueryEngine.from_defaults(
        tools,
        llm=llm,
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        use_async=False,
        verbose=False,
    )

    response = await way(engine, question)

    asked = [prompt.strip() for prompt in spy.prompts]
    assert "Knows people." in asked[0]
    assert sorted(asked[1:]) == sorted(["Which people?", "Which towns?", question])
    assert all(spy.encoders_read(text) for text in (TOWN, *people, "Response: Ilma."))
    assert_no_prompt_has(spy, TOWN, *people)
    assert len(response.source_nodes) == 6


@WAYS
async def test_citations_have_their_numbers_at_the_encoders(
    way, index, llm, spy, answer, people, question
):
    answer("In Kolwick [1].")

    response = await way(CitationQueryEngine.from_args(index, llm=llm), question)

    assert all(spy.encoders_read(f"Source {n}:\n{text}") for n, text in enumerate(people, 1))
    assert_no_prompt_has(spy, *people)
    assert spy.prompts_mention("cite the appropriate source(s)")
    assert spy.prompts_mention(question)
    assert response.source_nodes[0].node.get_content().startswith("Source 1:")


@WAYS
async def test_what_postprocessors_drop_and_reorder_is_what_encoders_read(
    way, vectors, llm, spy, answer, people, question
):
    answer("Doc: 2, Relevance: 9\nDoc: 3, Relevance: 5")
    engine = RetrieverQueryEngine.from_args(
        vectors.as_retriever(similarity_top_k=3),
        llm=llm,
        response_synthesizer=DiekaeSynthesizer(llm),
        node_postprocessors=[LLMRerank(llm=llm, top_n=2), LongContextReorder()],
    )

    response = await way(engine, question)

    reranked, asked = spy.prompts
    assert all(text in reranked for text in people)
    assert asked.strip() == question
    kept = [node.node.get_content() for node in response.source_nodes]
    assert sorted(kept) == sorted(people[1:])
    assert [source["text"] for source in response.metadata["sources"]] == kept
    assert len(spy.passages) == 2


@WAYS
async def test_queries_are_multiplied_in_the_open(way, vectors, llm, spy, answer, people, question):
    answer("Which town?\nWhich mill?")
    fusion = QueryFusionRetriever(
        [vectors.as_retriever(similarity_top_k=3)],
        llm=llm,
        num_queries=3,
        similarity_top_k=3,
        use_async=False,
    )

    await way(RetrieverQueryEngine.from_args(fusion, llm=llm), question)

    multiplied, asked = spy.prompts
    assert "Generate 2 search queries" in multiplied
    assert asked.strip() == question
    assert all(spy.encoders_read(text) for text in people)


@WAYS
async def test_an_invented_document_is_searched_with_and_not_read(
    way, vectors, llm, spy, answer, question
):
    answer("She was born by the sea.")
    engine = TransformQueryEngine(vectors.as_query_engine(llm=llm), HyDEQueryTransform(llm=llm))

    await way(engine, question)

    assert spy.prompts_mention("Please write a passage")
    assert spy.prompts[-1].strip() == question
    assert not spy.encoders_read("by the sea")


@WAYS
async def test_a_tree_is_descended_in_the_open(way, llm, spy, answer, people, question):
    answer("People.")
    tree = TreeIndex([TextNode(text=text) for text in people], num_children=3, llm=llm)
    spy.prompts.clear()
    answer("ANSWER: 1", "In Kolwick.")

    response = await way(tree.as_query_engine(llm=llm), question)

    chosen, asked = spy.prompts
    assert people[0] in chosen
    assert asked.strip() == question
    assert [node.node.get_content() for node in response.source_nodes] == [people[0]]
    assert len(spy.passages) == 1

"""Which prompts keep their text: everything that is not a question about its context."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core import DocumentSummaryIndex, MockEmbedding, PromptTemplate, TreeIndex
from llama_index.core.extractors import (
    KeywordExtractor,
    QuestionsAnsweredExtractor,
    SummaryExtractor,
    TitleExtractor,
)
from llama_index.core.indices.document_summary.base import DEFAULT_SUMMARY_QUERY
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.node_parser.relational.base_element import DEFAULT_SUMMARY_QUERY_STR
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.prompts import PromptType, chat_prompts, default_prompts
from llama_index.core.schema import Document, NodeWithScore, QueryBundle, TextNode
from llama_index.llms.diekae import answers_a_question

TEXT = "Ilma Bresk was born in Kolwick."


def test_hyde_keeps_its_question_in_the_prompt(llm, spy, question):
    HyDEQueryTransform(llm=llm).run(question)

    assert spy.prompts_mention(question)
    assert spy.passages == []


@pytest.mark.parametrize("is_chat_model", [False, True])
def test_a_reranker_keeps_its_candidates_in_the_prompt(is_chat_model, make_llm, spy, question):
    reranker = LLMRerank(llm=make_llm(is_chat_model=is_chat_model), top_n=1)
    nodes = [NodeWithScore(node=TextNode(text=TEXT))]

    reranker.postprocess_nodes(nodes, QueryBundle(question))

    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


@pytest.mark.parametrize(
    "extractor",
    [
        lambda llm: SummaryExtractor(llm=llm),
        lambda llm: TitleExtractor(llm=llm),
        lambda llm: KeywordExtractor(llm=llm),
        lambda llm: QuestionsAnsweredExtractor(llm=llm),
    ],
    ids=["summary", "title", "keyword", "questions"],
)
async def test_an_extractor_keeps_its_document_in_the_prompt(extractor, llm, spy):
    await extractor(llm).aextract([TextNode(text=TEXT)])

    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


def test_building_a_tree_keeps_the_text_in_the_prompt(llm, spy):
    nodes = [TextNode(text=f"{TEXT} {n}") for n in range(4)]

    TreeIndex(nodes, num_children=2, llm=llm)

    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


def test_building_a_summary_index_keeps_the_text_in_the_prompt(llm, spy):
    DocumentSummaryIndex.from_documents(
        [Document(text=TEXT)], llm=llm, embed_model=MockEmbedding(embed_dim=4)
    )

    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


@pytest.mark.parametrize(
    ("prompt", "variables", "routed"),
    [
        (default_prompts.DEFAULT_TEXT_QA_PROMPT, {"query_str": "?"}, True),
        (default_prompts.DEFAULT_REFINE_PROMPT, {"query_str": "?"}, True),
        (default_prompts.DEFAULT_TREE_SUMMARIZE_PROMPT, {"query_str": "?"}, True),
        (PromptTemplate("{context_str} {query_str}"), {"query_str": "?"}, True),
        (PromptTemplate("{context_str}"), {}, False),
        (default_prompts.DEFAULT_SUMMARY_PROMPT, {}, False),
        (default_prompts.DEFAULT_HYDE_PROMPT, {}, False),
        (default_prompts.DEFAULT_CHOICE_SELECT_PROMPT, {"query_str": "?"}, False),
        (chat_prompts.CHAT_CONTENT_CHOICE_SELECT_PROMPT, {"query_str": "?"}, False),
        (default_prompts.DEFAULT_REFINE_TABLE_CONTEXT_PROMPT, {"query_str": "?"}, False),
        (PromptTemplate("{context_str}", prompt_type="text_qa"), {"query_str": "?"}, True),
        (default_prompts.DEFAULT_TEXT_QA_PROMPT, {"query_str": DEFAULT_SUMMARY_QUERY}, False),
        (default_prompts.DEFAULT_TEXT_QA_PROMPT, {"query_str": DEFAULT_SUMMARY_QUERY_STR}, False),
    ],
)
def test_the_gate_goes_by_prompt_type_and_question(
    prompt: PromptTemplate, variables: dict[str, Any], routed: bool
):
    assert answers_a_question(prompt, {"context_str": TEXT, **variables}) is routed


def test_a_gate_of_the_users_own_decides(make_llm, spy, question):
    llm = make_llm(should_route=lambda prompt, variables: False)

    llm.predict(default_prompts.DEFAULT_TEXT_QA_PROMPT, context_str=TEXT, query_str=question)

    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


def test_such_a_gate_may_route_what_the_default_would_not(make_llm, spy):
    llm = make_llm(should_route=lambda p, _: p.metadata["prompt_type"] == PromptType.SUMMARY)

    llm.predict(PromptTemplate("Sum up: {context_str}", PromptType.SUMMARY), context_str=TEXT)

    assert spy.encoders_read(TEXT)
    assert not spy.prompts_mention(TEXT)


def test_a_default_template_leaves_no_residue(llm, spy, question):
    llm.predict(default_prompts.DEFAULT_TEXT_QA_PROMPT, context_str=TEXT, query_str=question)

    assert [prompt.strip() for prompt in spy.prompts] == [question]


def test_context_set_in_advance_is_routed_too(llm, spy, question):
    prompt = PromptTemplate("{context_str} Q: {query_str}").partial_format(context_str=TEXT)

    llm.predict(prompt, query_str=question)

    assert spy.encoders_read(TEXT)
    assert not spy.prompts_mention(TEXT)


def test_context_that_is_no_text_is_a_clear_error(llm, question):
    with pytest.raises(RuntimeError, match="cannot read context from int"):
        llm.predict(default_prompts.DEFAULT_TEXT_QA_PROMPT, context_str=7, query_str=question)


def test_observers_still_see_the_context(llm, question):
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.events.llm import LLMPredictStartEvent

    seen = []

    class Handler(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event)

    handler = Handler()
    get_dispatcher().add_event_handler(handler)
    llm.predict(default_prompts.DEFAULT_TEXT_QA_PROMPT, context_str=TEXT, query_str=question)
    get_dispatcher().event_handlers.remove(handler)

    starts = [event for event in seen if isinstance(event, LLMPredictStartEvent)]
    assert starts[0].template_args["context_str"] == TEXT

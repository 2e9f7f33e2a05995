"""Prompts that have the variables of a question and ask for a judgement of their context."""

from __future__ import annotations

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.evaluation import (
    ContextRelevancyEvaluator,
    DatasetGenerator,
    FaithfulnessEvaluator,
    RelevancyEvaluator,
    context_relevancy,
    faithfulness,
    relevancy,
)
from llama_index.core.indices.query.query_transform.base import StepDecomposeQueryTransform
from llama_index.core.postprocessor import AutoPrevNextNodePostprocessor, PIINodePostprocessor, node
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.llms.diekae import answers_a_question

TEXT = "Ilma Bresk was born in Kolwick."
NODES = [NodeWithScore(node=TextNode(text=TEXT))]


@pytest.fixture(params=[False, True], ids=["text", "chat"])
def llm(request, make_llm):
    return make_llm(is_chat_model=request.param, max_new_tokens=60)


def assert_only_the_prompt_has_it(spy):
    assert spy.prompts_mention(TEXT)
    assert spy.passages == []


@pytest.mark.parametrize(
    "evaluator", [ContextRelevancyEvaluator, FaithfulnessEvaluator, RelevancyEvaluator]
)
async def test_an_evaluator_reads_the_context_in_the_prompt(evaluator, llm, spy, question):
    judge = evaluator(llm=llm)

    await judge.aevaluate(query=question, response="In Kolwick.", contexts=[TEXT])

    assert_only_the_prompt_has_it(spy)


def test_a_step_of_decomposing_keeps_the_summary_of_the_index(llm, spy, question):
    metadata = {"prev_reasoning": "None", "index_summary": TEXT}

    StepDecomposeQueryTransform(llm=llm).run(question, metadata=metadata)

    assert_only_the_prompt_has_it(spy)


def test_what_is_masked_is_in_the_prompt(llm, spy, say):
    say('[NAME1] was born. Output Mapping: {"NAME1": "Ilma"}')

    masked = PIINodePostprocessor(llm=llm).postprocess_nodes(NODES)

    assert masked[0].node.text == "[NAME1] was born."
    assert_only_the_prompt_has_it(spy)


def test_a_choice_of_neighbours_reads_the_node_in_the_prompt(llm, spy, say, question):
    say("NONE")
    chooser = AutoPrevNextNodePostprocessor(docstore=SimpleDocumentStore(), llm=llm)

    assert chooser.postprocess_nodes(NODES, QueryBundle(question)) == NODES
    assert_only_the_prompt_has_it(spy)


def test_questions_are_made_from_the_text_in_the_prompt(llm, spy):
    with pytest.deprecated_call():
        DatasetGenerator([TextNode(text=TEXT)], llm=llm).generate_questions_from_nodes(1)

    assert_only_the_prompt_has_it(spy)


@pytest.mark.parametrize(
    "template",
    [
        PromptTemplate(node.DEFAULT_REFINE_INFER_PREV_NEXT_TMPL),
        context_relevancy.DEFAULT_REFINE_TEMPLATE,
        faithfulness.DEFAULT_REFINE_TEMPLATE,
        relevancy.DEFAULT_REFINE_TEMPLATE,
    ],
)
def test_so_is_what_refines_a_judgement(template):
    asked = {"query_str": "?", "existing_answer": "YES", "context_msg": TEXT}

    assert not answers_a_question(template, asked)
    assert not answers_a_question(template.partial_format(query_str="?"), asked)


async def test_a_variant_of_the_users_own_needs_a_gate(make_llm, spy, question):
    own = PromptTemplate("Does it say so? {query_str}\n{context_str}")
    llm = make_llm(should_route=lambda prompt, _: prompt.get_template() != own.get_template())

    await FaithfulnessEvaluator(llm=llm, eval_template=own).aevaluate(
        response="In Kolwick.", contexts=[TEXT]
    )

    assert_only_the_prompt_has_it(spy)

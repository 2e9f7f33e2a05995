"""The host's own templates, told apart by their text: which ask a question, which must stay."""

from __future__ import annotations

from functools import cache

from llama_index.core.prompts import BasePromptTemplate, PromptTemplate

__all__ = ["is_about_its_context", "is_default_template"]


def is_default_template(template: str) -> bool:
    """True for the templates that query engines use when the user chose none."""
    return template in _default_templates()


def is_about_its_context(template: str) -> bool:
    """True for templates that ask for a judgement of their context, and so have to show it.

    They have the variables of a question and often its type: only the words differ.
    """
    return template in _templates_about_context()


@cache
def _default_templates() -> frozenset[str]:
    from llama_index.core.prompts import chat_prompts, default_prompts

    return _texts(
        default_prompts.DEFAULT_TEXT_QA_PROMPT,
        default_prompts.DEFAULT_REFINE_PROMPT,
        default_prompts.DEFAULT_TREE_SUMMARIZE_PROMPT,
        chat_prompts.CHAT_TEXT_QA_PROMPT,
        chat_prompts.CHAT_REFINE_PROMPT,
        chat_prompts.CHAT_TREE_SUMMARIZE_PROMPT,
        chat_prompts.CHAT_CONTENT_QA_PROMPT,
        chat_prompts.CHAT_CONTENT_REFINE_PROMPT,
        chat_prompts.CHAT_CONTENT_TREE_SUMMARIZE_PROMPT,
    )


@cache
def _templates_about_context() -> frozenset[str]:
    from llama_index.core.evaluation import (
        context_relevancy,
        dataset_generation,
        faithfulness,
        relevancy,
    )
    from llama_index.core.indices.query.query_transform import prompts as transforms
    from llama_index.core.postprocessor import node, pii
    from llama_index.core.prompts.chat_prompts import CHAT_CONTENT_CHOICE_SELECT_PROMPT

    return _texts(
        CHAT_CONTENT_CHOICE_SELECT_PROMPT,
        transforms.DEFAULT_STEP_DECOMPOSE_QUERY_TRANSFORM_PROMPT,
        PromptTemplate(node.DEFAULT_INFER_PREV_NEXT_TMPL),
        PromptTemplate(node.DEFAULT_REFINE_INFER_PREV_NEXT_TMPL),
        PromptTemplate(pii.DEFAULT_PII_TMPL),
        PromptTemplate(dataset_generation.DEFAULT_QUESTION_GENERATION_PROMPT),
        faithfulness.DEFAULT_EVAL_TEMPLATE,
        faithfulness.DEFAULT_REFINE_TEMPLATE,
        relevancy.DEFAULT_EVAL_TEMPLATE,
        relevancy.DEFAULT_REFINE_TEMPLATE,
        context_relevancy.DEFAULT_EVAL_TEMPLATE,
        context_relevancy.DEFAULT_REFINE_TEMPLATE,
    )


def _texts(*templates: BasePromptTemplate) -> frozenset[str]:
    return frozenset(template.get_template() for template in templates)

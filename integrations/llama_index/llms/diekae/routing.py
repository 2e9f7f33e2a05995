"""Which prompts give their context to the encoders, and what is left of them for the base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.indices.document_summary.base import DEFAULT_SUMMARY_QUERY
from llama_index.core.node_parser.relational.base_element import DEFAULT_SUMMARY_QUERY_STR
from llama_index.core.prompts import (
    BasePromptTemplate,
    ChatPromptTemplate,
    PromptTemplate,
    PromptType,
)
from llama_index.llms.diekae.knowledge import Context, Document
from llama_index.llms.diekae.templates import is_about_its_context, is_default_template
from llama_index.llms.diekae.wording import without_context_wording

from diekae_rag import Passage

__all__ = ["PromptWithDocuments", "Route", "answers_a_question", "find_route"]

_CONTEXT_VARIABLES = ("context_str", "context_msg", "context_messages")
_ROUTED_TYPES = (
    PromptType.QUESTION_ANSWER,
    PromptType.REFINE,
    PromptType.SUMMARY,
    PromptType.CUSTOM,
)

# What DocumentSummaryIndex and the parsers of tables ask about the text they index.
_INDEXING_QUERIES = (DEFAULT_SUMMARY_QUERY, DEFAULT_SUMMARY_QUERY_STR)


class PromptWithDocuments(str):
    """A prompt that carries what it was written about to the model."""

    documents: list[Document]

    def __new__(cls, text: str, documents: list[Document]) -> PromptWithDocuments:
        """Attaches ``documents`` to ``text``."""
        prompt = super().__new__(cls, text)
        prompt.documents = documents
        return prompt


class Route(NamedTuple):
    """A prompt freed from its context: how it is formatted now, and what the encoders read."""

    prompt: BasePromptTemplate
    variables: dict[str, Any]
    documents: list[Document]


def answers_a_question(prompt: BasePromptTemplate, variables: Mapping[str, Any]) -> bool:
    """The default of ``should_route``: does this prompt ask a question about its context?

    ``context_str`` also names text that a prompt is *about*: the question of HyDE, the candidates
    of a reranker, the document that an extractor or an index summarises, the answer that an
    evaluator judges. There it has to stay.

    A prompt of the user's own that has ``context_str`` and ``query_str`` counts as a question. Such
    are the prompts of ``StepDecomposeQueryTransform``, ``AutoPrevNextNodePostprocessor``,
    ``PIINodePostprocessor``, ``DatasetGenerator`` and the evaluators of faithfulness, relevancy and
    context relevancy. Their default templates are known by their text and kept; your own variants
    of them need a ``should_route`` of your own. So does ``DocumentSummaryIndex`` with a
    ``summary_query`` of your own: it is routed, and only with the default query is its text kept.

    Args:
        prompt: The template.
        variables: All values it is formatted with.
    """
    kind = prompt.metadata.get("prompt_type", PromptType.CUSTOM)
    if kind not in _ROUTED_TYPES or "query_str" not in variables:
        return False
    if variables["query_str"] in _INDEXING_QUERIES:
        return False
    return not is_about_its_context(prompt.get_template())


def find_route(
    prompt: BasePromptTemplate,
    given: Mapping[str, Any],
    llm: BaseLLM,
    should_route: Callable[[BasePromptTemplate, Mapping[str, Any]], bool],
) -> Route | None:
    """Takes the context out of a prompt.

    The host's default templates give way to the question alone, the wording encoders are trained
    with; an answer to be refined then goes before the context, where no limit of the encoders
    leaves it out. Other templates keep their words, with nothing where the context was.

    Args:
        prompt: The template.
        given: Values it is to be formatted with, besides those it holds already.
        llm: For templates that depend on the model.
        should_route: Decides.

    Returns:
        ``None`` where the prompt stays as it is.
    """
    variables = {**prompt.kwargs, **given}
    present = [name for name in _CONTEXT_VARIABLES if name in variables]
    if not present or not should_route(prompt, variables):
        return None
    context = [Context(variables[name]) for name in present]
    if "query_str" in variables and is_default_template(prompt.get_template(llm=llm)):
        question = PromptTemplate("{query_str}", output_parser=prompt.output_parser)
        asked = {"query_str": str(variables["query_str"])}
        return Route(question, asked, [*_answer_so_far(variables), *context])
    empty: dict[str, Any] = {name: [] if name == "context_messages" else "" for name in present}
    if not isinstance(prompt, ChatPromptTemplate):
        return Route(prompt, {**given, **empty}, [*context])
    shorter = without_context_wording(prompt)
    keeps_answer = "existing_answer" in _variables_of(shorter)
    answer = [] if keeps_answer else _answer_so_far(variables)
    return Route(shorter, {**given, **empty}, [*answer, *context])


def _answer_so_far(variables: Mapping[str, Any]) -> list[Passage]:
    answer = str(variables.get("existing_answer") or "").strip()
    text = f"{variables.get('query_str') or ''} {answer}"
    return [Passage(text, metadata={"existing_answer": True})] if answer else []


def _variables_of(prompt: ChatPromptTemplate) -> set[str]:
    return {name for m in prompt.message_templates for name in m.get_template_vars()}

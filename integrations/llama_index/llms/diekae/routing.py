"""Which prompts give their context to the encoders, and what is left of them for the base model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.indices.document_summary.base import DEFAULT_SUMMARY_QUERY
from llama_index.core.prompts import (
    BasePromptTemplate,
    ChatPromptTemplate,
    PromptTemplate,
    PromptType,
)
from llama_index.core.prompts.chat_prompts import CHAT_CONTENT_CHOICE_SELECT_PROMPT
from llama_index.llms.diekae.wording import is_default_template, without_context_wording

from diekae_rag import Passage

__all__ = ["PromptWithPassages", "Route", "answers_a_question", "find_route"]

_CONTEXT_VARIABLES = ("context_str", "context_msg", "context_messages")
_ROUTED_TYPES = (
    PromptType.QUESTION_ANSWER,
    PromptType.REFINE,
    PromptType.SUMMARY,
    PromptType.CUSTOM,
)


class PromptWithPassages(str):
    """A prompt that carries the passages it was written about to the model."""

    passages: list[Passage]

    def __new__(cls, text: str, passages: list[Passage]) -> PromptWithPassages:
        """Attaches ``passages`` to ``text``."""
        prompt = super().__new__(cls, text)
        prompt.passages = passages
        return prompt


class Route(NamedTuple):
    """A prompt freed from its context: how it is formatted now, and the context as passages."""

    prompt: BasePromptTemplate
    variables: dict[str, Any]
    passages: list[Passage]


def answers_a_question(prompt: BasePromptTemplate, variables: Mapping[str, Any]) -> bool:
    """The default of ``should_route``: does this prompt ask a question about its context?

    ``context_str`` also names text that a prompt is *about*: the question of HyDE, the candidates
    of a reranker, the document that an extractor or an index summarises. There it has to stay.

    A prompt of the user's own that has ``context_str`` and ``query_str`` counts as a question.
    ``PIINodePostprocessor`` and the evaluators word theirs the same way and cannot be told apart:
    give those another model, or a ``should_route`` of your own.

    Args:
        prompt: The template.
        variables: All values it is formatted with.
    """
    kind = prompt.metadata.get("prompt_type", PromptType.CUSTOM)
    if kind not in _ROUTED_TYPES or "query_str" not in variables:
        return False
    if variables["query_str"] == DEFAULT_SUMMARY_QUERY:  # DocumentSummaryIndex, being built
        return False
    return prompt.get_template() != CHAT_CONTENT_CHOICE_SELECT_PROMPT.get_template()


def find_route(
    prompt: BasePromptTemplate,
    given: Mapping[str, Any],
    llm: BaseLLM,
    should_route: Callable[[BasePromptTemplate, Mapping[str, Any]], bool],
    read: Callable[[Any], list[Passage]],
) -> Route | None:
    """Takes the context out of a prompt.

    The host's default templates give way to the question alone, the wording encoders are trained
    with; an answer to be refined then goes with the passages. Other templates keep their words,
    with nothing where the context was.

    Args:
        prompt: The template.
        given: Values it is to be formatted with, besides those it holds already.
        llm: For templates that depend on the model.
        should_route: Decides.
        read: Makes passages of a context variable's value.

    Returns:
        ``None`` where the prompt stays as it is.
    """
    variables = {**prompt.kwargs, **given}
    present = [name for name in _CONTEXT_VARIABLES if name in variables]
    if not present or not should_route(prompt, variables):
        return None
    passages = [passage for name in present for passage in read(variables[name])]
    if "query_str" in variables and is_default_template(prompt.get_template(llm=llm)):
        query = str(variables["query_str"])
        if answer := str(variables.get("existing_answer") or "").strip():
            passages.append(Passage(f"{query} {answer}", metadata={"existing_answer": True}))
        question = PromptTemplate("{query_str}", output_parser=prompt.output_parser)
        return Route(question, {"query_str": query}, passages)
    empty: dict[str, Any] = {name: [] if name == "context_messages" else "" for name in present}
    if isinstance(prompt, ChatPromptTemplate):
        shorter = without_context_wording(prompt)
        answer = str(variables.get("existing_answer") or "").strip()
        if answer and "existing_answer" not in _variables_of(shorter):
            query = str(variables.get("query_str") or "")
            passages.append(Passage(f"{query} {answer}", metadata={"existing_answer": True}))
        prompt = shorter
    return Route(prompt, {**given, **empty}, passages)


def _variables_of(prompt: ChatPromptTemplate) -> set[str]:
    return {name for m in prompt.message_templates for name in m.get_template_vars()}

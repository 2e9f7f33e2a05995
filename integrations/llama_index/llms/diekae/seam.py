"""Where LlamaIndex turns prompts into text: context is taken out here, whatever asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import BasePromptTemplate
from llama_index.llms.diekae.calls import loud_errors
from llama_index.llms.diekae.routing import (
    PromptWithDocuments,
    Route,
    answers_a_question,
    find_route,
)

__all__ = ["RoutingLLM"]


class RoutingLLM(LLM):
    """An ``LLM`` whose prompts give their context away as documents.

    ``predict``, ``stream`` and their async forms all format through ``_get_prompt`` or
    ``_get_messages`` and pass the result on to ``complete`` or ``chat``: with these two overridden,
    a passage cannot reach the prompt by another of those ways.
    """

    should_route: Callable[[BasePromptTemplate, Mapping[str, Any]], bool] = Field(
        default=answers_a_question, exclude=True
    )

    def find_route(
        self, prompt: BasePromptTemplate, prompt_args: Mapping[str, Any]
    ) -> Route | None:
        """How the prompt is formatted without its context; ``None`` where it stays as it is."""
        with loud_errors():
            return find_route(prompt, prompt_args, self, self.should_route)

    def route_messages(
        self,
        get_messages: Callable[..., list[ChatMessage]],
        prompt: BasePromptTemplate,
        prompt_args: Mapping[str, Any],
    ) -> list[ChatMessage]:
        """The messages that ``get_messages`` makes of a prompt, its context attached to the last.

        Args:
            get_messages: The ``_get_messages`` that an ``LLM`` would have used.
            prompt: The template.
            prompt_args: Values it is to be formatted with.
        """
        with loud_errors():
            route = self.find_route(prompt, prompt_args)
            if route is None:
                return get_messages(prompt, **prompt_args)
            *others, last = get_messages(route.prompt, **route.variables)
        attached = {**last.additional_kwargs, "documents": route.documents}
        return [*others, last.model_copy(update={"additional_kwargs": attached})]

    @loud_errors()
    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        route = self.find_route(prompt, prompt_args)
        if route is None:
            return super()._get_prompt(prompt, **prompt_args)
        text = super()._get_prompt(route.prompt, **route.variables)
        return PromptWithDocuments(text, route.documents)

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        return self.route_messages(super()._get_messages, prompt, prompt_args)

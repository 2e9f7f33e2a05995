"""Where LlamaIndex turns prompts into text: context is taken out here, whatever asked for it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model
from llama_index.llms.diekae.calls import loud_errors
from llama_index.llms.diekae.knowledge import as_record, read_documents
from llama_index.llms.diekae.routing import (
    PromptWithPassages,
    Route,
    answers_a_question,
    find_route,
)

from diekae_rag import Passage

__all__ = ["RoutingLLM"]


class RoutingLLM(LLM):
    """An ``LLM`` whose prompts give their context away as passages.

    ``predict``, ``stream`` and their async forms all format through ``_get_prompt`` or
    ``_get_messages`` and pass the result on to ``complete`` or ``chat``: with these two overridden,
    a passage cannot reach the prompt by another of those ways.
    """

    should_route: Callable[[BasePromptTemplate, Mapping[str, Any]], bool] = Field(
        default=answers_a_question, exclude=True
    )

    @abstractmethod
    def _read_context(self, value: Any) -> list[Passage]: ...

    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """Fills ``output_cls``; context goes to the encoders here too."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        filled = super().structured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        return cast("Model", filled)

    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """``structured_predict``, with the event loop free."""
        prompt, llm_kwargs, prompt_args = self._structured(prompt, llm_kwargs, prompt_args)
        filled = await super().astructured_predict(output_cls, prompt, llm_kwargs, **prompt_args)
        return cast("Model", filled)

    def _get_prompt(self, prompt: BasePromptTemplate, **prompt_args: Any) -> str:
        route = self._route(prompt, prompt_args)
        if route is None:
            return super()._get_prompt(prompt, **prompt_args)
        text = super()._get_prompt(route.prompt, **route.variables)
        return PromptWithPassages(text, route.passages)

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        route = self._route(prompt, prompt_args)
        if route is None:
            return super()._get_messages(prompt, **prompt_args)
        *others, last = super()._get_messages(route.prompt, **route.variables)
        documents = [as_record(passage) for passage in route.passages]
        attached = {**last.additional_kwargs, "documents": documents}
        return [*others, last.model_copy(update={"additional_kwargs": attached})]

    def _structured(
        self, prompt: Any, llm_kwargs: dict[str, Any] | None, prompt_args: dict[str, Any]
    ) -> tuple[Any, dict[str, Any] | None, dict[str, Any]]:
        route = self._route(prompt, prompt_args)
        if route is None:
            return prompt, llm_kwargs, prompt_args
        given = read_documents((llm_kwargs or {}).get("documents"))
        documents = [*given, *route.passages]
        return route.prompt, {**(llm_kwargs or {}), "documents": documents}, route.variables

    def _route(self, prompt: BasePromptTemplate, prompt_args: dict[str, Any]) -> Route | None:
        with loud_errors():
            return find_route(prompt, prompt_args, self, self.should_route, self._read_context)

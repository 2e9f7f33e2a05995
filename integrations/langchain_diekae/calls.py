"""Every way into a language model, with documents beside the prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Self

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import BaseLLM, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.outputs import LLMResult
from langchain_core.prompt_values import PromptValue, StringPromptValue
from langchain_core.runnables import RunnableConfig

from langchain_diekae.carrier import DocumentCarrier
from langchain_diekae.completing import CompletingBatches
from langchain_diekae.documents import DocumentLike, DocumentsLike, align_documents, to_passages

__all__ = ["LLMWithDocuments"]


class LLMWithDocuments(CompletingBatches, DocumentCarrier, BaseLLM, ABC):
    """Puts documents into the prompt strings first of all, to be taken out when it is answered.

    From there on nothing can go between a prompt and its documents: not a cache of answers, which
    sees the string only, and not a batch that is cut into smaller ones.
    """

    @abstractmethod
    def _with_options(self, arguments: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a call's options as its own, and the arguments that are none."""

    def attach_documents(
        self, prompt: LanguageModelInput, documents: Iterable[DocumentLike]
    ) -> str:
        """A prompt that carries documents: the same as to pass them beside it."""
        text = self._convert_input(prompt).to_string()
        return self.wire.attach(text, to_passages(documents))

    def generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answers prompts; a cache sees documents and options as part of the question."""
        llm, run = self._with_options(kwargs)
        folded = self._fold(prompts, documents)
        return super(LLMWithDocuments, llm).generate(folded, stop, callbacks, **run)

    async def agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As ``generate``; the model works in a thread."""
        llm, run = self._with_options(kwargs)
        folded = self._fold(prompts, documents)
        return await super(LLMWithDocuments, llm).agenerate(folded, stop, callbacks, **run)

    def generate_prompt(
        self,
        prompts: list[PromptValue],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As ``generate``, with the documents that messages carry."""
        carrying = [self._convert_input(prompt) for prompt in prompts]
        return super().generate_prompt(carrying, stop, callbacks, **kwargs)

    async def agenerate_prompt(
        self,
        prompts: list[PromptValue],
        stop: list[str] | None = None,
        callbacks: Callbacks | list[Callbacks] | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As ``generate_prompt``; the model works in a thread."""
        carrying = [self._convert_input(prompt) for prompt in prompts]
        return await super().agenerate_prompt(carrying, stop, callbacks, **kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> list[str]:
        """Answers prompts side by side, with one list of documents for all, or one for each."""
        return super().batch(self._fold_inputs(inputs, documents), config, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> list[str]:
        """As ``batch``; the model works in a thread."""
        return await super().abatch(self._fold_inputs(inputs, documents), config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> Iterator[str]:
        """Gives the answer as it comes; whoever stops reading stops the model."""
        return super().stream(self._fold_inputs([input], documents)[0], config, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        """As ``stream``; the model works in a thread."""
        return super().astream(self._fold_inputs([input], documents)[0], config, **kwargs)

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        """A prompt that carries what its messages brought, the last message's documents first.

        Those of an ``AIMessage`` are what another model says it answered from, and stay aside.
        """
        value = super()._convert_input(model_input)
        passages = [
            passage
            for message in reversed(value.to_messages())
            if not isinstance(message, AIMessage)
            for passage in to_passages(message.additional_kwargs.get("documents"))
        ]
        if not passages:
            return value
        return StringPromptValue(text=self.wire.attach(value.to_string(), passages))

    def _fold(self, prompts: list[str], documents: DocumentsLike) -> list[str]:
        if documents is None or not isinstance(prompts, list):
            return prompts
        passages = align_documents(documents, len(prompts))
        return [self.wire.attach(*pair) for pair in zip(prompts, passages, strict=True)]

    def _fold_inputs(self, inputs: list[LanguageModelInput], documents: DocumentsLike) -> list[Any]:
        if documents is None:
            return inputs
        return self._fold([self._convert_input(item).to_string() for item in inputs], documents)

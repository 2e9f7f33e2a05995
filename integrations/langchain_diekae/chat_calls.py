"""Every way into a chat model, with documents beside the messages."""

from __future__ import annotations

from abc import ABC
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig

from diekae_rag.passages import Passage
from langchain_diekae.carrier import DocumentCarrier
from langchain_diekae.completing import CompletingBatches
from langchain_diekae.documents import (
    DocumentLike,
    DocumentsLike,
    align_documents,
    to_passages,
)
from langchain_diekae.message_documents import documents_beside

__all__ = ["ChatWithDocuments"]


class ChatWithDocuments(CompletingBatches, DocumentCarrier, BaseChatModel, ABC):
    """Gives the last message the documents of a call, before those it brings.

    So a cache of answers, whose key is the messages, tells documents apart; each conversation of a
    batch may have its own; and a trace shows them. They are plain JSON there, which histories can
    read again.
    """

    def attach_documents(
        self, prompt: LanguageModelInput, documents: Iterable[DocumentLike]
    ) -> list[BaseMessage]:
        """Messages that carry documents: the same as to pass them beside it."""
        return _attach(self._convert_input(prompt).to_messages(), to_passages(documents))

    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Answers conversations; a cache sees documents and options as part of the question."""
        return super().generate(_fold(messages, documents), stop, callbacks, **kwargs)

    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> LLMResult:
        """As ``generate``; the model works in a thread."""
        return await super().agenerate(_fold(messages, documents), stop, callbacks, **kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answers conversations, with one list of documents for all, or one for each."""
        return super().batch(self._fold_inputs(inputs, documents), config, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """As ``batch``; the model works in a thread."""
        return await super().abatch(self._fold_inputs(inputs, documents), config, **kwargs)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Gives the answer as it comes; whoever stops reading stops the model."""
        return super().stream(self._fold_inputs([input], documents)[0], config, **kwargs)

    def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """As ``stream``; the model works in a thread."""
        return super().astream(self._fold_inputs([input], documents)[0], config, **kwargs)

    def _fold_inputs(self, inputs: list[LanguageModelInput], documents: DocumentsLike) -> list[Any]:
        if documents is None:
            return inputs
        return _fold([self._convert_input(item).to_messages() for item in inputs], documents)


def _fold(
    conversations: list[list[BaseMessage]], documents: DocumentsLike
) -> list[list[BaseMessage]]:
    if documents is None:
        return conversations
    passages = align_documents(documents, len(conversations))
    return [_attach(*pair) for pair in zip(conversations, passages, strict=True)]


def _attach(messages: list[BaseMessage], passages: list[Passage]) -> list[BaseMessage]:
    if not passages or not messages:
        return messages
    last = messages[-1]
    documents = [*(passage.to_dict() for passage in passages), *documents_beside(last)]
    kwargs = {**last.additional_kwargs, "documents": documents}
    return [*messages[:-1], last.model_copy(update={"additional_kwargs": kwargs})]

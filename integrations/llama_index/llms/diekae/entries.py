"""The eight ways to ask: text or messages, at once or streamed, holding the event loop or not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM
from llama_index.llms.diekae.calls import Call, Responses, aclosing, as_chat, closing

__all__ = ["EntryPoints"]


class EntryPoints(LLM):
    """An ``LLM`` that makes a ``Call`` of whatever it is asked."""

    @abstractmethod
    def _call(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Call: ...

    @abstractmethod
    def _chat_call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Call: ...

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Completes a prompt; see the class for what else it takes."""
        return self._call(prompt, formatted, kwargs).answer()

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """``complete``, with the event loop free; whoever stops waiting stops it."""
        return await self._call(prompt, formatted, kwargs).aanswer()

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """``complete`` as it comes; the last response has usage and sources."""
        source = Responses(self._call(prompt, formatted, kwargs))

        @llm_completion_callback()
        def observed(
            llm: LLM, prompt: str, **kwargs: Any
        ) -> Generator[CompletionResponse, None, None]:
            return iter(source)

        return closing(observed(self, prompt, **kwargs), source)

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """``stream_complete``, with the event loop free."""
        source = Responses(self._call(prompt, formatted, kwargs))

        @llm_completion_callback()
        async def observed(
            llm: LLM, prompt: str, **kwargs: Any
        ) -> AsyncGenerator[CompletionResponse, None]:
            return aiter(source)

        return aclosing(await observed(self, prompt, **kwargs), source)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answers the last message of a conversation."""
        return as_chat(self._chat_call(messages, kwargs).answer())

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """``chat``, with the event loop free; whoever stops waiting stops it."""
        return as_chat(await self._chat_call(messages, kwargs).aanswer())

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """``chat`` as it comes."""
        source = Responses(self._chat_call(messages, kwargs))

        @llm_chat_callback()
        def observed(llm: LLM, messages: Any, **kwargs: Any) -> Any:
            return (as_chat(response) for response in source)

        return closing(observed(self, messages, **kwargs), source)

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """``stream_chat``, with the event loop free."""
        source = Responses(self._chat_call(messages, kwargs))

        @llm_chat_callback()
        async def observed(
            llm: LLM, messages: Any, **kwargs: Any
        ) -> AsyncGenerator[ChatResponse, None]:
            return (as_chat(response) async for response in source)

        return aclosing(await observed(self, messages, **kwargs), source)

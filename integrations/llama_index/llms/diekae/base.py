"""The model that LlamaIndex talks to."""

from __future__ import annotations

import asyncio
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
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import Field, model_validator
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM, MessagesToPromptCallable
from llama_index.llms.diekae.calls import Call, Responses, aclosing, as_chat, closing, loud_errors
from llama_index.llms.diekae.knowledge import read_context, read_documents
from llama_index.llms.diekae.seam import RoutingLLM
from llama_index.llms.diekae.wording import WithoutDocuments, word_messages

from diekae_rag import DiekaeModel, Passage
from diekae_rag.answers import MODES, Mode
from diekae_rag.generation import GenerationOptions

__all__ = ["DiekaeLLM"]


class DiekaeLLM(RoutingLLM):
    """A frozen language model whose query engines send what they retrieve through encoders.

    ``index.as_query_engine(llm=DiekaeLLM())`` is all there is to change: where a prompt asks a
    question about its context, the context becomes passages for the encoders and the base model
    reads the question alone. Every other prompt is passed on as it is. Any entry point also takes
    passages by hand: ``llm.complete("Who?", documents=[...])``, ``mode=``, ``stop=``, and every
    option of ``GenerationOptions``. A message may bring its own in
    ``additional_kwargs["documents"]``.

    What is asked of the model and cannot be done is a ``DiekaeError`` (a ``RuntimeError``). Two
    ways around this class keep the context in the prompt: ``structured_answer_filtering=True`` and
    ``as_structured_llm``, which format it themselves.

    Args:
        model_name: A folder, a hub id, or ``"demo"``; loaded when no ``engine`` is given.
        engine: A model that is loaded already. Copies of this object share it.
        mode: ``"inject"``, ``"stuff"``, ``"combine"`` or ``"none"``, as in ``DiekaeModel``.
        max_new_tokens: Most tokens of an answer.
        temperature: 0 is greedy; above, tokens are drawn.
        stop: Strings that end an answer, left out of it.
        options: Further ``GenerationOptions``, for every call.
        is_chat_model: Whether engines send messages; for base models trained on conversations.
        should_route: Decides about a prompt and its variables; see ``answers_a_question``.

    Example:
        >>> llm = DiekaeLLM(model_name="demo")  # doctest: +SKIP
        >>> engine = index.as_query_engine(llm=llm)  # doctest: +SKIP
    """

    model_name: str = ""
    engine: Any = Field(default=None, exclude=True, repr=False)
    mode: Mode = "inject"
    max_new_tokens: int = 64
    temperature: float = 0.0
    stop: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    is_chat_model: bool = False
    messages_to_prompt: MessagesToPromptCallable = Field(default=word_messages, exclude=True)

    @model_validator(mode="after")
    def _load(self) -> DiekaeLLM:
        GenerationOptions.read(self._defaults())
        self.messages_to_prompt = WithoutDocuments(self.messages_to_prompt or word_messages)
        if self.engine is None:
            self.engine = DiekaeModel.from_pretrained(self.model_name or "demo")
        elif not isinstance(self.engine, DiekaeModel):
            raise ValueError(f"engine must be a DiekaeModel, got {type(self.engine).__name__}.")
        name = self.engine.encoders.config.base_model_name_or_path
        self.model_name = self.model_name or name or "diekae"
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> DiekaeLLM:
        return super().__deepcopy__({**(memo or {}), id(self.engine): self.engine})

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized components."""
        return "DiekaeLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What is true of the base model; the encoders' room is in ``prompt_helper``."""
        return LLMMetadata(
            context_window=self.engine.window,
            num_output=self.max_new_tokens,
            is_chat_model=self.is_chat_model,
            model_name=self.model_name,
        )

    @property
    def prompt_helper(self) -> PromptHelper:
        """Packs context by what the encoders can read, where it need not fit the base model.

        With ``Settings.prompt_helper = llm.prompt_helper`` (or as an argument of
        ``get_response_synthesizer``), what was retrieved is one call more often than not.
        """
        config = self.engine.encoders.config
        room = config.max_passages * config.max_passage_tokens if self.mode == "inject" else 0
        return PromptHelper(self.engine.window + room, self.max_new_tokens)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Completes a prompt; see the class for what else it takes."""
        return self._call(prompt, formatted, kwargs).answer()

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """``complete``, with the event loop free."""
        return await asyncio.to_thread(self._call(prompt, formatted, kwargs).answer)

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
        """``chat``, with the event loop free."""
        return as_chat(await asyncio.to_thread(self._chat_call(messages, kwargs).answer))

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

    def _read_context(self, value: Any) -> list[Passage]:
        return read_context(value, self.engine)

    def _call(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Call:
        with loud_errors():
            options = {**self._defaults(), **kwargs}
            passages = read_documents(options.pop("documents", None))
            passages += getattr(prompt, "passages", [])
            mode = options.pop("mode", self.mode)
            if mode not in MODES:
                raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}.")
            if GenerationOptions.read(options).num_return_sequences > 1:
                raise ValueError("LlamaIndex takes one answer: num_return_sequences must be 1.")
            assert self.completion_to_prompt is not None
            text = prompt if formatted else self.completion_to_prompt(prompt)
            return Call(self.engine, str(text), passages, mode, options)

    def _chat_call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Call:
        with loud_errors():
            # The latest first: what does not fit the encoders is left out from the end.
            attached = [
                passage
                for message in reversed(messages)
                for passage in read_documents(message.additional_kwargs.get("documents"))
            ]
            documents = [*read_documents(kwargs.get("documents")), *attached]
            prompt = WithoutDocuments(self.messages_to_prompt or word_messages)(messages)
        return self._call(prompt, True, {**kwargs, "documents": documents})

    def _defaults(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("max_new_tokens", "temperature", "stop")}
        return {**own, **self.options}

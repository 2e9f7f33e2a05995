"""A LangChain chat model that answers from documents which its base model never reads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams, ModelProfile
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation
from langchain_core.runnables.config import run_in_executor
from pydantic import AliasChoices, ConfigDict, Field, model_validator

from diekae_rag import Answer
from diekae_rag.dialogue import ChatFormat, check_format, word
from diekae_rag.streaming import AnswerStream
from langchain_diekae.chat_results import mark_cached, to_chat_chunk, to_chat_result
from langchain_diekae.conversations import read_conversation
from langchain_diekae.documents import align_documents, without_repeats
from langchain_diekae.forms import FormFillingChat
from langchain_diekae.meeting import is_met, join_meeting
from langchain_diekae.settings import DiekaeSettings
from langchain_diekae.streams import read_stream, read_stream_async

__all__ = ["ChatDiekae"]


class ChatDiekae(DiekaeSettings, FormFillingChat):
    """A frozen model behind LangChain's chat interface; documents go to its encoders.

    Documents come by ``documents=`` (of every call and of ``bind``; for several conversations also
    a list of lists), and with messages that are no answers: ``additional_kwargs["documents"]``,
    content blocks (``text-plain``, ``document``, ``search_result``) and a ``ToolMessage``'s
    artifact, whose text is then left aside. The call's come first, then those of the last message,
    and so on back; a text that comes twice counts once. In ``mode="inject"`` the prompt has none.

    The options, and the others of ``GenerationOptions``, may also be given per call. An answer has
    ``usage_metadata`` (with ``knowledge`` and what became of it among
    ``input_token_details``), and ``response_metadata`` with ``sources`` (id, text, score,
    metadata; with ``attribute``, also ``attribution``), ``usage`` (seconds too:
    ``seconds_to_first_token``, ...), ``edits`` (those of ``chat.edits`` that spoke),
    ``finish_reason``, ``mode`` and, where a cache of answers gave it, ``is_cached``.
    ``with_structured_output`` asks for JSON and reads it; it calls no tools.

    Args are those of ``DiekaeSettings`` (``engine`` or ``model``, ``mode``, ...; ``max_tokens`` is
    ``max_new_tokens``), ``nonce`` as for ``DiekaeLLM``, and:

    Args:
        chat_format: How messages become a prompt: ``"template"``, by the chat template of the base
            tokenizer, read as it is; ``"plain"``, as encoders are trained on dialogues
            (``word_plainly``); ``"auto"``, by a template where there is one.
        streaming: Whether ``invoke`` streams, so that callbacks get every token.
        json_schema: What answers are asked to be JSON of; see ``with_structured_output``.

    Raises:
        ValueError: A template is asked for and there is none; as for ``DiekaeSettings``.

    Example:
        >>> chat = ChatDiekae(model="demo")
        >>> answer = chat.invoke("Where was Drola Brenk born?", documents=["Drola Brenk was born "
        ... "in Kolwick. Drola Brenk works as a nurse."])
        >>> answer.content, answer.usage_metadata["input_tokens"] < 15
        ('Kolwick', True)
    """

    max_new_tokens: int = Field(
        default=64, validation_alias=AliasChoices("max_new_tokens", "max_tokens")
    )
    chat_format: ChatFormat = "auto"
    streaming: bool = False

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check_format(self) -> Self:
        check_format(self.chat_format, self.engine.tokenizer)
        self.profile = self.profile or self._resolve_model_profile()  # now there is an engine
        return self

    def _resolve_model_profile(self) -> ModelProfile:
        """What agents look up: how much it reads, and that forms are asked for without tools."""
        return {
            "max_input_tokens": self.engine.window,
            "max_output_tokens": self.max_new_tokens,
            "tool_calling": False,
            "structured_output": True,
        }

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """True: a model that was loaded by name is told by its fields."""
        return True

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """The fields of a model that was loaded by name; an engine of one's own has no such."""
        return super().to_json() if self.model else self.to_json_not_implemented()

    def get_token_ids(self, text: str) -> list[int]:
        """The base model's token ids; documents that a text carries do not count."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        said, _ = self.wire.take(text)
        return list(self.engine.tokenizer(said, add_special_tokens=False).input_ids)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if (answer := self._join(messages, stop, kwargs)) is not None:
            return to_chat_result([answer.result()], self._model_name)
        chat, question = self._ask(messages, stop, kwargs)
        answers = chat.engine.generate(**question)
        listed = [answers] if isinstance(answers, Answer) else answers
        return to_chat_result(listed, self._model_name)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if is_met():
            answer = await run_in_executor(None, self._join, messages, stop, kwargs)
            if answer is not None:
                return to_chat_result([await asyncio.wrap_future(answer)], self._model_name)
        return await super()._agenerate(messages, stop, run_manager, **kwargs)

    def _join(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Future[Answer] | None:
        """Where the answer will be, if this call is one of several that are answered together."""
        if not is_met():
            return None
        chat, asked = self._ask(messages, stop, options)
        return join_meeting(chat.engine, asked.pop("prompt"), asked.pop("passages"), asked)

    def _open(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> AnswerStream:
        chat, question = self._ask(messages, stop, options)
        stream = chat.engine.stream(**question)
        assert isinstance(stream, AnswerStream)
        return stream

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for item in read_stream(partial(self._open, messages, stop, kwargs)):
            chunk = to_chat_chunk(item, self._model_name)
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        begin = partial(self._open, messages, stop, kwargs)
        async with aclosing(read_stream_async(begin)) as items:
            async for item in items:
                chunk = to_chat_chunk(item, self._model_name)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _ask(
        self, messages: list[BaseMessage], stop: list[str] | None, arguments: Mapping[str, Any]
    ) -> tuple[Self, dict[str, Any]]:
        """This model with a call's options, and what to ask its engine."""
        given = dict(arguments)
        (passages,) = align_documents(given.pop("documents", None), 1)
        chat, _ = self._with_options(given)
        dialogue, found = read_conversation(messages, self.wire)
        chat._ask_for_form(dialogue)
        prompt, is_worded = word(dialogue, self.chat_format, self.engine.tokenizer)
        return chat, {
            "prompt": prompt,
            "passages": without_repeats([*passages, *found]),
            "mode": chat.mode,
            "is_worded": is_worded,
            **chat._settings(stop),
        }

    def _with_options(self, arguments: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        given = dict(arguments)
        if "max_tokens" in given:
            if "max_new_tokens" in given:
                raise TypeError("max_tokens is max_new_tokens: pass one of them.")
            given["max_new_tokens"] = given.pop("max_tokens")
        schema = given.pop("json_schema", None)
        chat, run = super()._with_options(given)
        return chat.model_copy(update={"json_schema": schema}) if schema else chat, run

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        template = str(self.engine.tokenizer.chat_template) if self.chat_format != "plain" else ""
        digest = hashlib.sha256(template.encode()).hexdigest()[:16]
        own = {"chat_format": self.chat_format, "chat_template": digest}
        return {**super()._identifying_params, **own, "json_schema": self.json_schema}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """What tells this model and a call's options from others, for a cache of answers."""
        chat, _ = self._with_options(kwargs)
        params = {**chat._identifying_params, "stop": chat._settings(stop)["stop"]}
        return str(sorted(params.items()))

    def _convert_cached_generations(self, cache_val: list[Generation]) -> list[ChatGeneration]:
        return super()._convert_cached_generations(mark_cached(cache_val))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop or None, **kwargs)
        params["ls_model_name"] = kwargs.get("model") or self._model_name
        asked = kwargs.get("max_new_tokens") or kwargs.get("max_tokens")
        params["ls_max_tokens"] = asked or self.max_new_tokens
        return params

    @property
    def _llm_type(self) -> str:
        return "diekae-chat"

"""A LangChain language model that answers from documents which its base model never reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import aclosing
from functools import partial
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict

from diekae_rag import Answer
from diekae_rag.streaming import AnswerStream
from langchain_diekae.calls import LLMWithDocuments
from langchain_diekae.meeting import is_met, join_meeting
from langchain_diekae.results import to_last_chunk, to_result
from langchain_diekae.settings import DiekaeSettings
from langchain_diekae.streams import read_stream, read_stream_async

__all__ = ["DiekaeLLM"]


class DiekaeLLM(DiekaeSettings, LLMWithDocuments):
    """A frozen model behind LangChain's interface; ``documents`` go to its encoders.

    ``documents`` is a keyword of every call (``invoke``, ``stream``, ``batch``, ``generate`` and
    their async forms) and of ``bind``: a list of ``Document``, ``Passage``, ``str`` or mapping with
    ``"text"``, or for several prompts a list of such lists. Messages that are no answers may bring
    more, as ``additional_kwargs["documents"]``: the call's come first, then those of the last
    message, and so on back. All travel inside the prompt string until it is answered, so that a
    cache of answers tells documents apart; callbacks see that string, the base model does not.

    The options below, and the others of ``GenerationOptions``, may also be given per call, where
    ``None`` unsets what can be unset (``top_k``, ...); what does not exist raises.

    Each generation's ``generation_info`` has ``finish_reason``, ``mode``, ``usage`` and ``sources``
    (the documents used, with id, score and metadata; values that are not JSON as strings; with
    ``attribute``, also ``attribution``: ``nats`` and ``share``), and ``edits``: those of
    ``llm.edits`` that spoke.

    Args are those of ``DiekaeSettings`` (``engine`` or ``model``, ``mode``, ...) and:

    Args:
        is_worded: Prompts are whole, special tokens included: a template of yours words them, and
            nothing is put around them.
        nonce: What marks documents inside a prompt, by default one per process. Set it where a
            cache of answers outlives the process, and keep it from those who write prompts.
    """

    is_worded: bool = False

    model_config = ConfigDict(extra="forbid")

    def get_token_ids(self, text: str) -> list[int]:
        """The base model's token ids; documents that a prompt carries do not count."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        prompt, _ = self.wire.take(text)
        return list(self.engine.tokenizer(prompt, add_special_tokens=False).input_ids)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if (answer := self._join(prompts, stop, kwargs)) is not None:
            return to_result([answer.result()], 1, self._model_name)
        llm, _ = self._with_options(kwargs)
        taken = [self.wire.take_all(prompt) for prompt in prompts]
        questions, passages = [text for text, _ in taken], [found for _, found in taken]
        answers = llm.engine.generate(
            questions, passages, llm.mode, llm.is_worded, **llm._settings(stop)
        )
        return to_result(answers, len(prompts), self._model_name)

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        if is_met():
            answer = await run_in_executor(None, self._join, prompts, stop, kwargs)
            if answer is not None:
                return to_result([await asyncio.wrap_future(answer)], 1, self._model_name)
        return await super()._agenerate(prompts, stop, run_manager, **kwargs)

    def _join(
        self, prompts: list[str], stop: list[str] | None, options: Mapping[str, Any]
    ) -> Future[Answer] | None:
        """Where the answer will be, if this call is one of several that are answered together."""
        if len(prompts) > 1 or not is_met():
            return None
        llm, _ = self._with_options(options)
        question, passages = self.wire.take_all(prompts[0])
        asked = {"mode": llm.mode, "is_worded": llm.is_worded, **llm._settings(stop)}
        return join_meeting(llm.engine, question, passages, asked)

    def _open(
        self, prompt: str, stop: list[str] | None, options: Mapping[str, Any]
    ) -> AnswerStream:
        llm, _ = self._with_options(options)
        question, passages = self.wire.take_all(prompt)
        stream = llm.engine.stream(
            question, passages, llm.mode, llm.is_worded, **llm._settings(stop)
        )
        assert isinstance(stream, AnswerStream)
        return stream

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        for item in read_stream(partial(self._open, prompt, stop, kwargs)):
            chunk = _to_chunk(item)
            if run_manager is not None and isinstance(item, str):
                run_manager.on_llm_new_token(item, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async with aclosing(read_stream_async(partial(self._open, prompt, stop, kwargs))) as items:
            async for item in items:
                chunk = _to_chunk(item)
                if run_manager is not None and isinstance(item, str):
                    await run_manager.on_llm_new_token(item, chunk=chunk)
                yield chunk

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {**super()._identifying_params, "is_worded": self.is_worded}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_model_name"] = self._model_name
        params["ls_max_tokens"] = kwargs.get("max_new_tokens") or self.max_new_tokens
        return params

    @property
    def _llm_type(self) -> str:
        return "diekae"


def _to_chunk(item: str | Answer) -> GenerationChunk:
    return GenerationChunk(text=item) if isinstance(item, str) else to_last_chunk(item)

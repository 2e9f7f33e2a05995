"""A LangChain language model that answers from documents which its base model never reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import fields
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field, model_validator

from diekae_rag.answers import Mode
from diekae_rag.generation import GenerationOptions
from diekae_rag.stopping import check_stop
from diekae_rag.streaming import AnswerStream
from langchain_diekae.calls import LLMWithDocuments
from langchain_diekae.engines import find_engine, fingerprint, identify_base
from langchain_diekae.results import to_last_chunk, to_result

__all__ = ["DiekaeLLM"]

_RUN_ARGUMENTS = {"tags", "metadata", "run_name", "run_id"}
_OPTIONS = {item.name for item in fields(GenerationOptions)} - {"stop"}
_OPTIONAL = {item.name for item in fields(GenerationOptions) if item.default is None}


class DiekaeLLM(LLMWithDocuments):
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
    ``attribute``, also ``attribution``: ``nats`` and ``share``).

    Args:
        engine: A ``DiekaeModel``; for one with ``dtype`` or ``device_map``, load it yourself.
        model: A folder, a hub id or ``"demo"``, loaded where no engine is given.
        mode: Which way documents go: ``"inject"``, ``"stuff"``, ``"combine"`` or ``"none"``.
        max_new_tokens: Most tokens to generate.
        stop: Strings that end every answer; those of a call are added.
        temperature: 0 is greedy; above, tokens are drawn.
        top_p: Draw from the likeliest tokens that make up this share.
        top_k: Draw from this many of the likeliest.
        seed: Makes drawing repeatable.
        attribute: Whether to find out how much each document contributed to the answer.
        options: Other options of ``GenerationOptions``, by name (``batch_size``, ...).
        nonce: What marks documents inside a prompt; by default one per process. Set it where a
            cache of answers outlives the process, and keep it from those who write prompts.

    Raises:
        ValueError: Neither engine nor model, or both; an option with a value that cannot be.
        TypeError: An option that does not exist.
    """

    engine: Any = Field(default=None, exclude=True, repr=False)
    model: str = ""
    mode: Mode = "inject"
    max_new_tokens: int = 64
    stop: list[str] = Field(default_factory=list)
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    attribute: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if named := set(self.options) & set(type(self).model_fields):
            raise ValueError(f"options holds {sorted(named)}; give each by its own name.")
        GenerationOptions.read(self._settings(None))
        self.engine = find_engine(self.engine, self.model)
        fingerprint(self.engine.encoders)  # takes a while, which no event loop should wait for
        return self

    def get_token_ids(self, text: str) -> list[int]:
        """The base model's token ids; documents that a prompt carries do not count."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        prompt, _ = self.wire.take(text)
        return list(self.engine.tokenizer(prompt, add_special_tokens=False).input_ids)

    def _with_options(self, arguments: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a call's options as its own, and the arguments that are none."""
        run = {name: value for name, value in arguments.items() if name in _RUN_ARGUMENTS}
        given = {name: value for name, value in arguments.items() if name not in _RUN_ARGUMENTS}
        if unknown := set(given) - _OPTIONS - {"mode"}:
            raise TypeError(
                f"unknown argument(s) {sorted(unknown)}; a call takes documents, mode, stop, "
                f"{', '.join(sorted(_OPTIONS))}."
            )
        given = {
            name: value for name, value in given.items() if value is not None or name in _OPTIONAL
        }
        if not given:
            return self, run
        own = {name: value for name, value in given.items() if name in type(self).model_fields}
        other = {name: value for name, value in given.items() if name not in own}
        return self.model_copy(update={**own, "options": {**self.options, **other}}), run

    def _settings(self, stop: list[str] | None) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in _OPTIONS & set(type(self).model_fields)}
        stops = dict.fromkeys([*check_stop(self.stop), *check_stop(stop)])
        return {**own, **self.options, "stop": list(stops)}

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        llm, _ = self._with_options(kwargs)
        taken = [self.wire.take_all(prompt) for prompt in prompts]
        questions, passages = [text for text, _ in taken], [found for _, found in taken]
        answers = llm.engine.generate(questions, passages, llm.mode, **llm._settings(stop))
        return to_result(answers, len(prompts), self._model_name)

    def _open(
        self, prompt: str, stop: list[str] | None, options: Mapping[str, Any]
    ) -> AnswerStream:
        llm, _ = self._with_options(options)
        question, passages = self.wire.take_all(prompt)
        stream = llm.engine.stream(question, passages, llm.mode, **llm._settings(stop))
        assert isinstance(stream, AnswerStream)
        return stream

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with self._open(prompt, stop, kwargs) as stream:
            for piece in stream:
                chunk = GenerationChunk(text=piece)
                if run_manager is not None:
                    run_manager.on_llm_new_token(piece, chunk=chunk)
                yield chunk
            yield to_last_chunk(stream.answer)

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        opening = asyncio.ensure_future(run_in_executor(None, self._open, prompt, stop, kwargs))
        try:
            stream = await asyncio.shield(opening)
            while (piece := await run_in_executor(None, next, stream, None)) is not None:
                chunk = GenerationChunk(text=piece)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(piece, chunk=chunk)
                yield chunk
            yield to_last_chunk(stream.answer)
        finally:  # also where this was cancelled while the stream was being opened
            await run_in_executor(None, (await opening).close)

    @property
    def _model_name(self) -> str:
        """The name it was loaded by, or else that of the base model."""
        return self.model or str(self.engine.base.config.name_or_path or "diekae")

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """All that an answer depends on, besides the prompt: a cache's key."""
        return {
            "model": self.model,
            "base": identify_base(self.engine.base),
            "encoders": fingerprint(self.engine.encoders),
            "mode": self.mode,
            **self._settings(None),
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_model_name"] = self._model_name
        params["ls_max_tokens"] = kwargs.get("max_new_tokens") or self.max_new_tokens
        return params

    @property
    def _llm_type(self) -> str:
        return "diekae"

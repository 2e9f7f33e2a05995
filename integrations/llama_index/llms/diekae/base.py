"""The model that LlamaIndex talks to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.bridge.pydantic import ConfigDict, Field, model_validator
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms.llm import MessagesToPromptCallable
from llama_index.llms.diekae.calls import Call, loud_errors
from llama_index.llms.diekae.entries import EntryPoints
from llama_index.llms.diekae.knowledge import attached_documents, read_documents
from llama_index.llms.diekae.structured import FormFillingLLM
from llama_index.llms.diekae.wording import (
    WithoutDocuments,
    to_dialogue,
    without_documents,
    word_messages,
)

from diekae_rag import DiekaeModel
from diekae_rag.answers import MODE_CHOICES, ModeChoice
from diekae_rag.dialogue import ChatFormat, check_format, word
from diekae_rag.editing import Edits
from diekae_rag.generation import GenerationOptions

__all__ = ["DiekaeLLM"]

_OPTION_FIELDS = ("max_new_tokens", "temperature", "stop", "attribute")


class DiekaeLLM(EntryPoints, FormFillingLLM):
    """A frozen language model whose query engines send what they retrieve through encoders.

    ``index.as_query_engine(llm=DiekaeLLM())`` is all there is to change: where a prompt asks a
    question about its context, the context becomes passages for the encoders and the base model
    reads the question alone. Every other prompt is passed on as it is. Any entry point also takes
    passages by hand: ``llm.complete("Who?", documents=[...])``, ``mode=``, ``stop=``, and every
    option of ``GenerationOptions``. A message may bring its own in
    ``additional_kwargs["documents"]``.

    Whatever fails in a call is a ``RuntimeError``, but for what the host refuses before it asks;
    what cannot be done is a ``DiekaeError``, one of them. Two ways around this class keep text in
    the prompt: with ``structured_answer_filtering=True``, a response synthesizer formats the
    context by itself; and what a template's ``function_mappings`` bring along by themselves stays.
    Given the context, such a function sees an empty one: encoders read what was retrieved, not what
    a function makes of it.

    Args:
        model_name: A folder, a hub id, or ``"demo"``; loaded when no ``engine`` is given. With
            one it is a name and nothing more.
        engine: A model that is loaded already. Copies of this object share it; it is neither
            serialized nor pickled: ``DiekaeLLM.from_dict(data, engine=...)`` takes it again.
        mode: ``"inject"``, ``"stuff"``, ``"combine"`` or ``"none"``, as in ``DiekaeModel``.
        max_new_tokens: Most tokens of an answer.
        temperature: 0 is greedy; above, tokens are drawn.
        stop: Strings that end an answer, left out of it.
        attribute: Whether to find out how much each passage contributed to the answer: then each of
            ``raw["sources"]`` has an ``attribution`` of ``nats`` and ``share``.
        options: Further ``GenerationOptions``, for every call; not those above.
        is_chat_model: Whether engines send messages; for base models trained on conversations.
        chat_format: How messages become a prompt: ``"template"``, by the chat template of the base
            tokenizer, read as it is; ``"plain"``, as encoders are trained on dialogues; ``"auto"``,
            by a template where there is one. A ``messages_to_prompt`` of one's own comes first.
        should_route: Decides about a prompt and its variables; see ``answers_a_question``.

    Raises:
        ValueError: A field that does not exist, or a value that cannot be.

    Example:
        >>> llm = DiekaeLLM(model_name="demo")  # doctest: +SKIP
        >>> engine = index.as_query_engine(llm=llm)  # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid")

    model_name: str = "demo"
    engine: Any = Field(default=None, exclude=True, repr=False)
    mode: ModeChoice = "inject"
    max_new_tokens: int = 64
    temperature: float = 0.0
    stop: list[str] = Field(default_factory=list)
    attribute: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    is_chat_model: bool = False
    chat_format: ChatFormat = "auto"
    messages_to_prompt: MessagesToPromptCallable = Field(default=word_messages, exclude=True)

    @model_validator(mode="after")
    def _load(self) -> DiekaeLLM:
        if twice := sorted(set(self.options) & set(_OPTION_FIELDS)):
            raise ValueError(
                f"options holds {', '.join(twice)}, which DiekaeLLM takes by itself: "
                f"DiekaeLLM({twice[0]}=...)."
            )
        GenerationOptions.read(self._defaults())
        if not isinstance(self.messages_to_prompt, WithoutDocuments):
            self.messages_to_prompt = WithoutDocuments(self.messages_to_prompt or word_messages)
        if self.engine is None:
            if not self.model_name:
                raise ValueError("model_name is empty: name a model, or pass engine=.")
            self.engine = DiekaeModel.from_pretrained(self.model_name)
        elif not isinstance(self.engine, DiekaeModel):
            raise ValueError(f"engine must be a DiekaeModel, got {type(self.engine).__name__}.")
        elif "model_name" not in self.model_fields_set:
            self.model_name = ""
        check_format(self.chat_format, self.engine.tokenizer)
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> DiekaeLLM:
        return super().__deepcopy__({**(memo or {}), id(self.engine): self.engine})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled without the engine, which is loaded again by name, and without observers.

        The host's own pickling would take the engine away from this very object.
        """
        self.edits.check_none_is_lost()
        left = ("engine", "callback_manager", "rate_limiter")
        kept = {name: value for name, value in self.__dict__.items() if name not in left}
        return partial(type(self), **kept), ()

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized components."""
        return "DiekaeLLM"

    @property
    def edits(self) -> Edits:
        """The engine's edits: facts that hold from the next call on, for whoever asks it.

        Each response's ``raw["edits"]`` tells which of them spoke.
        """
        edits: Edits = self.engine.edits
        return edits

    @property
    def metadata(self) -> LLMMetadata:
        """What is true of the base model; the encoders' room is in ``prompt_helper``."""
        base = self.engine.encoders.config.base_model_name_or_path
        return LLMMetadata(
            context_window=self.engine.window,
            num_output=self.max_new_tokens,
            is_chat_model=self.is_chat_model,
            model_name=self.model_name or base or "diekae",
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

    def _call(
        self, prompt: str, formatted: bool, kwargs: Mapping[str, Any], is_worded: bool = False
    ) -> Call:
        with loud_errors():
            options = {**self._defaults(), **kwargs}
            documents = read_documents(options.pop("documents", None))
            documents += getattr(prompt, "documents", [])
            mode = options.pop("mode", self.mode)
            if mode not in MODE_CHOICES:
                raise ValueError(f"mode must be one of {', '.join(MODE_CHOICES)}; got {mode!r}.")
            if GenerationOptions.read(options).num_return_sequences > 1:
                raise ValueError("LlamaIndex takes one answer: num_return_sequences must be 1.")
            assert self.completion_to_prompt is not None
            text = prompt if formatted else self.completion_to_prompt(prompt)
            if not isinstance(text, str):
                raise TypeError(f"the prompt must be a str, got {type(text).__name__}.")
            return Call(self.engine, str(text), documents, mode, options, is_worded)

    def _chat_call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Call:
        with loud_errors():
            documents = [*read_documents(kwargs.get("documents")), *attached_documents(messages)]
            prompt, is_worded = self._word(messages)
        return self._call(prompt, True, {**kwargs, "documents": documents}, is_worded)

    def _word(self, messages: Sequence[ChatMessage]) -> tuple[str, bool]:
        """Messages as a prompt, and whether that is worded already."""
        own = self.messages_to_prompt
        if isinstance(own, WithoutDocuments) and own.word is word_messages:
            said = [without_documents(message) for message in messages]
            return word(to_dialogue(said), self.chat_format, self.engine.tokenizer)
        return WithoutDocuments(own or word_messages)(messages), False

    def _defaults(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OPTION_FIELDS} | self.options

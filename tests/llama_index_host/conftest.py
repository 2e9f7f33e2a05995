"""A tiny engine, an index over invented people, and a spy on what base model and encoders read."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from llama_index.core import SummaryIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import TextNode
from llama_index.llms.diekae import DiekaeLLM
from transformers import LlamaForCausalLM

from diekae_rag import DiekaeModel

PEOPLE = (
    "Ilma Bresk was born in Kolwick.",
    "Tarn Odell lives in Morvane.",
    "Quill Sarn founded Vexley Mills.",
)
QUESTION = "Where was she born?"


@pytest.fixture
def base(base: LlamaForCausalLM) -> LlamaForCausalLM:
    """The same base model with a window in which the host's own packing has room."""
    base.config.max_position_embeddings = 4096
    return base


@dataclass
class Spy:
    """What was read, as text: whole prompts by the base model, passages by the encoders."""

    prompts: list[str] = field(default_factory=list)
    passages: list[str] = field(default_factory=list)

    def prompts_mention(self, words: str) -> bool:
        return any(words in prompt for prompt in self.prompts)

    def encoders_read(self, words: str) -> bool:
        return any(words in passage for passage in self.passages)


@pytest.fixture
def spy(model: DiekaeModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spy]:
    seen = Spy()
    encode = model.reader.encode

    def note_prompt(module, args, kwargs):
        ids = kwargs["input_ids"]
        if ids.shape[1] > 1:
            seen.prompts.extend(model.tokenizer.batch_decode(ids, skip_special_tokens=True))

    def note_passages(texts):
        seen.passages.extend(model.tokenizer.batch_decode(list(texts), skip_special_tokens=True))
        return encode(texts)

    monkeypatch.setattr(model.reader, "encode", note_passages)
    handle = model.base.register_forward_pre_hook(note_prompt, with_kwargs=True)
    yield seen
    handle.remove()


@pytest.fixture
def make_llm(model: DiekaeModel) -> Callable[..., DiekaeLLM]:
    return lambda **choices: DiekaeLLM(**{"engine": model, "max_new_tokens": 4, **choices})


WAYS = ("", "a", "stream_", "astream_")


@pytest.fixture(params=[f"{way}{kind}" for way in WAYS for kind in ("complete", "chat")])
def entry(request: pytest.FixtureRequest) -> str:
    """Each of the eight ways to ask."""
    return request.param


@pytest.fixture
def ask(entry: str) -> Callable[..., Awaitable[Any]]:
    """Asks an ``LLM`` in one of the eight ways and gives its last response."""

    async def asking(llm: DiekaeLLM, prompt: Any, **given: Any) -> Any:
        is_chat = entry.endswith("chat")
        asked = [ChatMessage(prompt)] if is_chat and isinstance(prompt, str) else prompt
        result = getattr(llm, entry)(asked, **given)
        if entry.startswith("a"):
            result = await result
        if entry.startswith("astream"):
            return [response async for response in result][-1]
        return [*result][-1] if entry.startswith("stream") else result

    return asking


@pytest.fixture
def llm(make_llm: Callable[..., DiekaeLLM]) -> DiekaeLLM:
    return make_llm()


@pytest.fixture
def people() -> tuple[str, ...]:
    return PEOPLE


@pytest.fixture
def question() -> str:
    return QUESTION


@pytest.fixture
def index() -> SummaryIndex:
    return SummaryIndex([TextNode(text=text, id_=str(n)) for n, text in enumerate(PEOPLE)])


def is_generating() -> bool:
    """Whether a streamed answer is being computed."""
    return any(thread.name == "diekae-stream" for thread in threading.enumerate())

"""Both hosts' models behind one interface, so that each requirement is asked of all three."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_diekae import ChatDiekae
from langchain_diekae import DiekaeLLM as LangChainLLM
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.llms.diekae import DiekaeLLM as LlamaIndexLLM

from diekae_rag import DiekaeModel

QUESTION = "Where does Ada live?"
PASSAGES = ("Ada lives in Zanzibar.", "Bob lives in Quebec.")
TALK = [("user", "Who is Ada?"), ("assistant", "A nurse."), ("user", QUESTION)]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}[USR] {{ message.content }}"
    "{% else %}[SYS] {{ message.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[SYS]{% endif %}"
)


@dataclass(frozen=True)
class Said:
    """An answer as a host gives it."""

    text: str
    usage: dict[str, Any]
    sources: list[dict[str, Any]]
    whole: Any


class LangChainHost:
    """``DiekaeLLM`` for LangChain, which calls tokens read and written input and output tokens."""

    prompt_tokens, new_tokens = "input_tokens", "output_tokens"

    def __init__(self, engine: DiekaeModel, **fields: Any) -> None:
        self.llm = LangChainLLM(engine=engine, **{"max_new_tokens": 8, **fields})

    def document(self, text: str, score: float, source: str) -> Any:
        return Document(text, metadata={"score": score, "source": source})

    def ask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Said:
        result = self.llm.generate([prompt], documents=list(documents), **options)
        (generation,) = result.generations[0]
        info = generation.generation_info
        return Said(generation.text, info["usage"], info["sources"], result)

    def converse(self, talk: Sequence[tuple[str, str]], documents: Sequence[Any] = ()) -> str:
        """Its prompts are strings, so the tokenizer words the conversation before."""
        worded = self.llm.model_copy(update={"is_worded": True})
        messages = [{"role": role, "content": text} for role, text in talk]
        prompt = worded.engine.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return worded.invoke(prompt, documents=list(documents))

    def batch(self, prompts: list[str], documents: list[list[Any]]) -> list[str]:
        return self.llm.batch(prompts, documents=documents)

    def stream(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Iterator[str]:
        return self.llm.stream(prompt, documents=list(documents), **options)

    async def aask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> str:
        return await self.llm.ainvoke(prompt, documents=list(documents), **options)

    async def astream(
        self, prompt: str, documents: Sequence[Any] = (), **options: Any
    ) -> AsyncIterator[str]:
        async with aclosing(
            self.llm.astream(prompt, documents=list(documents), **options)
        ) as stream:
            async for piece in stream:
                yield piece


class LangChainChatHost(LangChainHost):
    """``ChatDiekae``, whose answers are messages."""

    def __init__(self, engine: DiekaeModel, **fields: Any) -> None:
        self.llm = ChatDiekae(engine=engine, **{"max_new_tokens": 8, **fields})

    def ask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Said:
        message = self.llm.invoke(prompt, documents=list(documents), **options)
        told = message.response_metadata
        usage = {**told["usage"], **message.usage_metadata}
        return Said(message.text, usage, told["sources"], message)

    def converse(self, talk: Sequence[tuple[str, str]], documents: Sequence[Any] = ()) -> str:
        return self.llm.invoke([*talk], documents=list(documents)).text

    def batch(self, prompts: list[str], documents: list[list[Any]]) -> list[str]:
        return [message.text for message in self.llm.batch(prompts, documents=documents)]

    def stream(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Iterator[str]:
        chunks = self.llm.stream(prompt, documents=list(documents), **options)
        try:
            for chunk in chunks:
                yield chunk.text
        finally:
            chunks.close()

    async def aask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> str:
        return (await self.llm.ainvoke(prompt, documents=list(documents), **options)).text

    async def astream(
        self, prompt: str, documents: Sequence[Any] = (), **options: Any
    ) -> AsyncIterator[str]:
        chunks = self.llm.astream(prompt, documents=list(documents), **options)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk.text


class LlamaIndexHost:
    """``DiekaeLLM`` for LlamaIndex."""

    prompt_tokens, new_tokens = "prompt_tokens", "completion_tokens"

    def __init__(self, engine: DiekaeModel, **fields: Any) -> None:
        self.llm = LlamaIndexLLM(engine=engine, **{"max_new_tokens": 8, **fields})

    def document(self, text: str, score: float, source: str) -> Any:
        return NodeWithScore(node=TextNode(text=text, metadata={"source": source}), score=score)

    def ask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Said:
        response = self.llm.complete(prompt, documents=list(documents), **options)
        return Said(response.text, response.raw["usage"], response.raw["sources"], response)

    def converse(self, talk: Sequence[tuple[str, str]], documents: Sequence[Any] = ()) -> str:
        messages = [ChatMessage(text, role=role) for role, text in talk]
        return self.llm.chat(messages, documents=list(documents)).message.content

    def batch(self, prompts: list[str], documents: list[list[Any]]) -> list[str]:
        async def together() -> list[str]:
            return await asyncio.gather(*map(self.aask, prompts, documents))

        return asyncio.run(together())

    def stream(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> Iterator[str]:
        responses = self.llm.stream_complete(prompt, documents=list(documents), **options)
        try:
            for response in responses:
                yield response.delta
        finally:
            responses.close()

    async def aask(self, prompt: str, documents: Sequence[Any] = (), **options: Any) -> str:
        return (await self.llm.acomplete(prompt, documents=list(documents), **options)).text

    async def astream(
        self, prompt: str, documents: Sequence[Any] = (), **options: Any
    ) -> AsyncIterator[str]:
        responses = await self.llm.astream_complete(prompt, documents=list(documents), **options)
        async with aclosing(responses):
            async for response in responses:
                yield response.delta


HOSTS = {
    "langchain": LangChainHost,
    "langchain chat": LangChainChatHost,
    "llama_index": LlamaIndexHost,
}


@pytest.fixture(params=HOSTS)
def make_host(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Builds a host over an engine."""
    return HOSTS[request.param]


@pytest.fixture
def model(make_model: Callable[..., DiekaeModel]) -> DiekaeModel:
    """Random enough that every passage changes the answer."""
    return make_model(passage_attention="independent", positions="all", initializer_range=1.0)


@pytest.fixture
def host(make_host: Callable[..., Any], model: DiekaeModel) -> Any:
    """A host over the tiny model."""
    return make_host(model)


@pytest.fixture
def templated(model: DiekaeModel, monkeypatch: pytest.MonkeyPatch) -> DiekaeModel:
    """The same, its tokenizer with a chat template that begins the sequence by itself."""
    monkeypatch.setattr(model.tokenizer, "chat_template", TEMPLATE)
    return model


def documents(host: Any) -> list[Any]:
    """The passages as a host's own documents, with scores and sources."""
    return [host.document(text, 0.9 - n / 10, f"{n}.txt") for n, text in enumerate(PASSAGES)]


@contextmanager
def watching(model: DiekaeModel) -> Iterator[list[list[int]]]:
    """The rows of token ids of every pass of the base model."""
    passes: list[list[int]] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        passes.extend(kwargs["input_ids"].tolist())

    handle = model.base.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()

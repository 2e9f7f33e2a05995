"""The tiny model behind LangChain's interface, and a spy on what its base model reads."""

import asyncio
import copy
import hashlib
import threading
import time
from contextlib import aclosing

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_diekae import ChatDiekae, DiekaeLLM, DiekaeRetriever

from diekae_rag import DiekaeModel, Passage, PassageIndex

QUESTION = "Where does Ada live?"
DOCUMENTS = [
    Document(
        page_content="Ada lives in Zanzibar.",
        id="ada",
        metadata={"source": "people.txt", "score": 0.75, "tags": ["a", ["b"]]},
    ),
    Document(page_content="Bob lives in Quebec.", metadata={"source": "people.txt"}),
]
SECRETS = ("Zanzibar", "Quebec", "Ada lives", "people.txt")


def text_of(piece):
    return piece if isinstance(piece, str) else piece.text


async def collect(stream):
    async with aclosing(stream):
        return "".join([text_of(piece) async for piece in stream])


async def once(item):
    yield item


async def chunks(events, name="on_llm_stream"):
    async with aclosing(events):
        async for event in events:
            if event["event"] == name:
                yield event["data"]["chunk"]


async def as_dict(pairs):
    return {number: answer async for number, answer in pairs}


# Every way in, as a function from a question and keyword arguments to the answer's text.
WAYS = {
    "invoke": lambda llm, q, **kw: llm.invoke(q, **kw),
    "ainvoke": lambda llm, q, **kw: asyncio.run(llm.ainvoke(q, **kw)),
    "stream": lambda llm, q, **kw: "".join(llm.stream(q, **kw)),
    "astream": lambda llm, q, **kw: asyncio.run(collect(llm.astream(q, **kw))),
    "batch": lambda llm, q, **kw: llm.batch([q, "Who?"], **kw)[0],
    "abatch": lambda llm, q, **kw: asyncio.run(llm.abatch([q, "Who?"], **kw))[0],
    "batch in twos": lambda llm, q, **kw: llm.batch(["1?", "2?", q], {"max_concurrency": 2}, **kw)[
        2
    ],
    "batch as completed": lambda llm, q, **kw: dict(llm.batch_as_completed([q], **kw))[0],
    "abatch as completed": lambda llm, q, **kw: asyncio.run(
        as_dict(llm.abatch_as_completed([q], **kw))
    )[0],
    "transform": lambda llm, q, **kw: "".join(llm.transform(iter([q]), **kw)),
    "atransform": lambda llm, q, **kw: asyncio.run(collect(llm.atransform(once(q), **kw))),
    "astream_events": lambda llm, q, **kw: asyncio.run(
        collect(chunks(llm.astream_events(q, **kw)))
    ),
    "generate": lambda llm, q, **kw: llm.generate([q], **kw).generations[0][0].text,
    "agenerate": lambda llm, q, **kw: asyncio.run(llm.agenerate([q], **kw)).generations[0][0].text,
}


# The same for a chat model, which has no method that takes strings only.
CHAT_WAYS = {
    "invoke": lambda chat, q, **kw: chat.invoke(q, **kw).text,
    "ainvoke": lambda chat, q, **kw: asyncio.run(chat.ainvoke(q, **kw)).text,
    "stream": lambda chat, q, **kw: "".join(chunk.text for chunk in chat.stream(q, **kw)),
    "astream": lambda chat, q, **kw: asyncio.run(collect(chat.astream(q, **kw))),
    "batch": lambda chat, q, **kw: chat.batch([q, "Who?"], **kw)[0].text,
    "abatch": lambda chat, q, **kw: asyncio.run(chat.abatch([q, "Who?"], **kw))[0].text,
    "batch as completed": lambda chat, q, **kw: dict(chat.batch_as_completed([q], **kw))[0].text,
    "transform": lambda chat, q, **kw: "".join(map(text_of, chat.transform(iter([q]), **kw))),
    "astream_events": lambda chat, q, **kw: asyncio.run(
        collect(chunks(chat.astream_events(q, **kw), "on_chat_model_stream"))
    ),
    "stream_events v3": lambda chat, q, **kw: chat.stream_events(q, version="v3", **kw).output.text,
}

# A template with a beginning of sequence, special tokens and, as many have, nothing for the system.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}[USR] {{ message.content }}"
    "{% elif message.role == 'assistant' %}[SYS] {{ message.content }}{{ eos_token }}"
    "{% else %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[SYS]{% endif %}"
)


class Recorder(BaseCallbackHandler):
    """What callbacks hear of a plain model."""

    def __init__(self):
        self.starts, self.tokens, self.results, self.errors = [], [], [], []

    def on_llm_start(self, serialized, prompts, **kwargs):
        self.starts += prompts
        self.serialized = serialized

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)

    def on_llm_end(self, response, **kwargs):
        self.results += [generations[0] for generations in response.generations]

    def on_llm_error(self, error, **kwargs):
        self.errors.append(error)


@pytest.fixture
def model(make_model):
    """As everywhere, but random enough that one passage gives another answer than the next."""
    return make_model(passage_attention="independent", positions="all", initializer_range=1.0)


@pytest.fixture
def llm(model):
    return DiekaeLLM(engine=model, max_new_tokens=8)


@pytest.fixture
def chat(model):
    return ChatDiekae(engine=model, max_new_tokens=8)


@pytest.fixture(params=[DiekaeLLM, ChatDiekae], ids=["plain", "chat"])
def reader(request, model):
    """A model of each kind: chains take both."""
    return request.param(engine=model, max_new_tokens=8)


@pytest.fixture
def templated(model):
    """The same model, its tokenizer with a chat template."""
    model.detach()
    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return DiekaeModel(model.base, tokenizer, model.encoders)


@pytest.fixture
def expected(model):
    """What the core answers, given the same passages."""
    texts = [document.page_content for document in DOCUMENTS]
    return model.generate(QUESTION, texts, max_new_tokens=8).text


@pytest.fixture
def read_by_base(model):
    """All that the base model reads, decoded."""
    seen = []

    def look(module, args, kwargs):
        seen.extend(model.tokenizer.batch_decode(kwargs["input_ids"]))

    handle = model.base.register_forward_pre_hook(look, with_kwargs=True)
    yield seen
    handle.remove()


@pytest.fixture
def no_stream_is_left():
    """Waits for generations to end; gives a function that says whether they did, soon."""

    def ended(within=30.0):
        deadline = time.monotonic() + within
        while any(thread.name == "diekae-stream" for thread in threading.enumerate()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    yield ended
    assert ended(60)


class HashingEmbedder:
    name = "hashing"

    def embed(self, texts, *, show_progress=False):
        vectors = np.zeros((len(texts), 32), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in text.lower().split():
                row[hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % 32] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="session")
def embedder():
    return HashingEmbedder()


@pytest.fixture
def index(embedder):
    passages = [
        Passage("Ada lives in Zanzibar.", id="ada", metadata={"kind": "person"}),
        Passage("Bob lives in Quebec.", id="bob", metadata={"kind": "person"}),
        Passage("Turin lies on the Po.", id="turin", metadata={"kind": "town"}),
        Passage("Oslo lies on a fjord.", id="oslo", metadata={"kind": "town"}),
    ]
    return PassageIndex.build(passages, embedder)


@pytest.fixture
def retriever(index):
    return DiekaeRetriever(index=index, k=2)

"""The tiny model behind LangChain's interface, and a spy on what its base model reads."""

import asyncio
import hashlib
import threading
import time
from contextlib import aclosing

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_diekae import DiekaeLLM, DiekaeRetriever

from diekae_rag import Passage, PassageIndex

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


async def collect(stream):
    async with aclosing(stream):
        return "".join([piece async for piece in stream])


async def once(item):
    yield item


async def chunks(events):
    async with aclosing(events):
        async for event in events:
            if event["event"] == "on_llm_stream":
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


@pytest.fixture
def model(make_model):
    """As everywhere, but random enough that one passage gives another answer than the next."""
    return make_model(passage_attention="independent", positions="all", initializer_range=1.0)


@pytest.fixture
def llm(model):
    return DiekaeLLM(engine=model, max_new_tokens=8)


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

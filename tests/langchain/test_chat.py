"""ChatDiekae: every way in answers alike, and as the core and the plain model do."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_diekae import ChatDiekae, create_diekae_documents_chain

from diekae_rag import DiekaeModel, Passage, PromptTooLongError

from .conftest import CHAT_WAYS, DOCUMENTS, QUESTION, SECRETS, WAYS, collect

every_way = pytest.mark.parametrize("ask", CHAT_WAYS.values(), ids=list(CHAT_WAYS))


@every_way
def test_every_way_in_gives_the_answer_of_the_core_and_of_the_plain_model(chat, llm, expected, ask):
    assert ask(chat, QUESTION, documents=DOCUMENTS) == expected
    assert ask(chat, QUESTION, documents=DOCUMENTS) == llm.invoke(QUESTION, documents=DOCUMENTS)
    assert ask(chat, QUESTION) == llm.invoke(QUESTION) != expected


@every_way
def test_a_message_alone_is_a_question(chat, expected, ask):
    assert ask(chat, [HumanMessage(QUESTION)], documents=DOCUMENTS) == expected


@every_way
def test_bound_documents_do_the_same(chat, expected, ask):
    assert ask(chat.bind(documents=DOCUMENTS), QUESTION) == expected


@every_way
def test_the_base_model_never_reads_a_document(chat, read_by_base, ask):
    ask(chat, QUESTION, documents=DOCUMENTS)

    assert any(QUESTION in text for text in read_by_base)
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


@every_way
@pytest.mark.parametrize("mode", ["stuff", "combine"])
def test_other_modes_put_the_same_documents_into_the_prompt(chat, read_by_base, ask, mode):
    ask(chat, QUESTION, documents=DOCUMENTS, mode=mode)

    assert any("Zanzibar" in text for text in read_by_base)


@pytest.mark.parametrize(
    "documents",
    [
        [d.page_content for d in DOCUMENTS],
        [Passage(d.page_content) for d in DOCUMENTS],
        [{"text": d.page_content} for d in DOCUMENTS],
        tuple(DOCUMENTS),
        [DOCUMENTS],
        [*DOCUMENTS, DOCUMENTS[0]],
    ],
    ids=["str", "Passage", "mapping", "tuple", "one list per prompt", "one twice"],
)
def test_documents_come_in_many_shapes(chat, expected, documents):
    assert chat.invoke(QUESTION, documents=documents).text == expected


@pytest.mark.parametrize("nothing", [[], None, [Document(page_content=" \n")]], ids=str)
def test_no_documents_are_no_knowledge(chat, model, nothing):
    alone = model.generate(QUESTION, mode="none", max_new_tokens=8).text

    assert chat.invoke(QUESTION, documents=nothing).text == alone


def test_each_conversation_of_a_batch_may_have_its_own_documents(chat):
    prompts = [QUESTION, [("human", "Who is Bob?")], QUESTION]
    documents = [DOCUMENTS[:1], None, DOCUMENTS[1:]]
    alone = [chat.invoke(p, documents=d).text for p, d in zip(prompts, documents, strict=True)]

    together = chat.batch(prompts, {"max_concurrency": 2}, documents=documents)
    at_once = asyncio.run(chat.abatch(prompts, documents=documents))
    messages = [chat._convert_input(prompt).to_messages() for prompt in prompts]
    generated = chat.generate(messages, documents=documents).generations

    assert [answer.text for answer in together] == alone
    assert [answer.text for answer in at_once] == alone
    assert [generation[0].text for generation in generated] == alone
    assert alone[0] != alone[2]


def test_lists_of_documents_that_do_not_match_the_conversations_raise(chat):
    with pytest.raises(ValueError, match=r"2 prompts came with 3 lists"):
        chat.batch([QUESTION] * 2, documents=[DOCUMENTS] * 3)


def test_several_answers_to_one_question_all_come(chat, model):
    options = {"temperature": 1.0, "seed": 3, "num_return_sequences": 2}
    texts = [answer.text for answer in model.generate(QUESTION, max_new_tokens=8, **options)]

    generations = chat.generate([[HumanMessage(QUESTION)]], **options).generations[0]

    assert [generation.text for generation in generations] == texts


def test_async_calls_leave_the_event_loop_running(chat):
    async def ticks_during(work):
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await work
        ticking.cancel()
        return ticks

    options = {"documents": DOCUMENTS, "max_new_tokens": 60}

    assert asyncio.run(ticks_during(chat.ainvoke(QUESTION, **options))) > 5
    assert asyncio.run(ticks_during(collect(chat.astream(QUESTION, **options)))) > 5


def test_whoever_stops_reading_stops_the_model(chat, no_stream_is_left):
    stream = chat.stream(QUESTION, max_new_tokens=400)
    next(stream)
    stream.close()

    async def leave():
        async for _ in chat.astream(QUESTION, max_new_tokens=400):
            return

    asyncio.run(leave())

    assert no_stream_is_left()


def test_an_error_comes_at_once_and_reaches_callbacks(chat):
    seen = []

    class Listener(BaseCallbackHandler):
        def on_llm_error(self, error, **kwargs):
            seen.append(error)

    for ask in (chat.invoke, lambda *args: list(chat.stream(*args))):
        with pytest.raises(ValueError, match="empty"):
            ask("  ", {"callbacks": [Listener()]})

    assert len(seen) == 2


def test_callbacks_get_tokens_sources_and_usage(chat, expected):
    tokens, starts = [], []

    class Listener(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, **kwargs):
            starts.append(messages[0][-1].additional_kwargs["documents"])

        def on_llm_new_token(self, token, **kwargs):
            tokens.append(token)

    counting = UsageMetadataCallbackHandler()
    streaming = ChatDiekae(engine=chat.engine, max_new_tokens=8, streaming=True)
    streaming.invoke(QUESTION, {"callbacks": [Listener(), counting]}, documents=DOCUMENTS)

    assert ("".join(tokens), len(tokens) > 2) == (expected, True)
    assert [[d["text"] for d in start] for start in starts] == [[d.page_content for d in DOCUMENTS]]
    (usage,) = counting.usage_metadata.values()
    assert usage["output_tokens"] == 8


def test_retries_and_fallbacks_work(chat, model, expected, monkeypatch):
    failures = iter([RuntimeError("once")])
    whole = DiekaeModel.generate

    def fails_once(self, *args, **kwargs):
        for error in failures:
            raise error
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(DiekaeModel, "generate", fails_once)
    retrying = chat.with_retry(wait_exponential_jitter=False)
    assert retrying.invoke(QUESTION, documents=DOCUMENTS).text == expected

    monkeypatch.setattr(DiekaeModel, "generate", whole)
    broken = ChatDiekae(engine=model, max_new_tokens=511)  # leaves no room for the prompt
    safe = broken.with_fallbacks([chat])
    assert safe.invoke(QUESTION, documents=DOCUMENTS).text == expected


def test_threads_at_once_get_each_their_own_answer(chat, llm):
    asked = [(name, documents) for name in "ABCD" for documents in (DOCUMENTS[:1], DOCUMENTS[1:])]
    alone = [llm.invoke(name, documents=documents) for name, documents in asked]
    ways = [*((chat, CHAT_WAYS[way]) for way in ("invoke", "stream"))]
    ways += [(llm, WAYS[way]) for way in ("invoke", "stream")]

    with ThreadPoolExecutor(8) as pool:
        answers = [
            pool.submit(way, asked_of, name, documents=documents)
            for asked_of, way in ways
            for name, documents in asked
        ]

    assert [answer.result() for answer in answers] == alone * 4


def test_a_rate_limiter_is_asked_before_every_answer(model):
    asked = []

    class Limiter(BaseRateLimiter):
        def acquire(self, *, blocking=True):
            asked.append(blocking)
            return True

        async def aacquire(self, *, blocking=True):
            return self.acquire(blocking=blocking)

    chat = ChatDiekae(engine=model, max_new_tokens=2, rate_limiter=Limiter())

    for ask in (CHAT_WAYS["invoke"], CHAT_WAYS["stream"], CHAT_WAYS["ainvoke"]):
        ask(chat, QUESTION)

    assert asked == [True] * 3


def test_a_history_that_is_too_long_can_be_trimmed_by_the_models_own_count(chat):
    turns = [HumanMessage("Who is Ada? " * 9), AIMessage("A nurse. " * 9)] * 20
    talk = [*turns, HumanMessage(QUESTION, additional_kwargs={"documents": DOCUMENTS})]
    with pytest.raises(PromptTooLongError):
        chat.invoke(talk)

    kept = trim_messages(talk, max_tokens=400, token_counter=chat, start_on="human")

    assert 1 < len(kept) < len(talk)
    assert chat.invoke(kept).response_metadata["sources"][0]["id"] == "ada"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_history_keeps_what_was_asked_with_documents(chat):
    histories = {}

    def find(session_id):
        return histories.setdefault(session_id, InMemoryChatMessageHistory())

    talking = RunnableWithMessageHistory(chat.bind(documents=DOCUMENTS), find)
    session = {"configurable": {"session_id": "1"}}

    talking.invoke([HumanMessage(QUESTION)], session)
    talking.invoke([HumanMessage("And Bob?")], session)

    kinds = [message.type for message in histories["1"].messages]
    assert kinds == ["human", "ai", "human", "ai"]


def test_chains_hand_documents_on(chat, expected, read_by_base):
    prompt = ChatPromptTemplate.from_messages([("human", "{context}\n\n{input}")])
    inputs = {"context": DOCUMENTS, "input": QUESTION}

    made = create_diekae_documents_chain(chat, prompt).invoke(inputs)
    formatted = (prompt | chat | StrOutputParser()).invoke(
        {"context": chat.format_docs(DOCUMENTS), "input": QUESTION}
    )

    assert made == formatted == expected
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]

"""Agents of the real library: what is found goes to the model's encoders, not into its prompt."""

import asyncio

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, wrap_model_call
from langchain.agents.structured_output import ProviderStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_diekae import ChatDiekae, DiekaeMiddleware, DiekaeRetriever
from pydantic import BaseModel

from diekae_rag import PassageIndex

from .conftest import DOCUMENTS, QUESTION


async def streamed(agent, state):
    modes = agent.astream(state, stream_mode="messages")
    return "".join([m.text async for m, _ in modes if isinstance(m, AIMessageChunk)])


RUNS = {
    "invoke": lambda agent, state: agent.invoke(state)["messages"][-1].text,
    "ainvoke": lambda agent, state: asyncio.run(agent.ainvoke(state))["messages"][-1].text,
    "stream": lambda agent, state: "".join(
        message.text
        for message, _ in agent.stream(state, stream_mode="messages")
        if isinstance(message, AIMessageChunk)
    ),
    "astream": lambda agent, state: asyncio.run(streamed(agent, state)),
}
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))


def asking(*messages):
    return {"messages": [*(messages or (HumanMessage(QUESTION),))]}


@pytest.fixture
def agent(chat, retriever):
    return create_agent(chat, middleware=[DiekaeMiddleware(retriever)])


@every_run
def test_an_agent_answers_from_what_is_found(agent, chat, retriever, read_by_base, run):
    answer = run(agent, asking())

    assert not [text for text in read_by_base if "Zanzibar" in text or "Quebec" in text]
    found = retriever.invoke(QUESTION)
    assert answer == chat.invoke(QUESTION, documents=found).text != chat.invoke(QUESTION).text


def test_the_answer_tells_its_sources_and_the_state_holds_no_passage(agent, retriever):
    state = agent.invoke(asking())

    question, answer = state["messages"]
    found = retriever.invoke(QUESTION)
    assert [s["id"] for s in answer.response_metadata["sources"]] == [d.id for d in found]
    assert [s["score"] for s in answer.response_metadata["sources"]] == [
        pytest.approx(d.metadata["score"]) for d in found
    ]
    assert question == HumanMessage(QUESTION, id=question.id)


@every_run
def test_the_last_thing_that_the_user_said_is_searched_for(chat, run):
    asked = []

    def find(question):
        asked.append(question)
        return DOCUMENTS

    agent = create_agent(
        chat, system_prompt="Be brief.", middleware=[DiekaeMiddleware(RunnableLambda(find))]
    )
    run(agent, asking(HumanMessage("Who is Ada?"), AIMessage("A nurse."), HumanMessage(QUESTION)))

    assert asked == [QUESTION]


def test_documents_that_are_set_already_come_first(chat, retriever):
    @wrap_model_call
    def set_documents(request, handler):
        return handler(request.override(model_settings={"documents": ["Cleo lives in Lima."]}))

    middleware = [set_documents, DiekaeMiddleware(retriever)]
    answer = create_agent(chat, middleware=middleware).invoke(asking())["messages"][-1]

    texts = [source["text"] for source in answer.response_metadata["sources"]]
    assert texts == ["Cleo lives in Lima.", *(d.page_content for d in retriever.invoke(QUESTION))]


@pytest.mark.parametrize("found", [[], None], ids=str)
def test_nothing_found_is_no_knowledge(chat, found):
    middleware = [DiekaeMiddleware(RunnableLambda(lambda question: found))]

    answer = create_agent(chat, middleware=middleware).invoke(asking())["messages"][-1]

    assert answer.text == chat.invoke(QUESTION).text


def test_a_fallback_gets_the_documents_too(chat, model, retriever):
    broken = ChatDiekae(engine=model, max_new_tokens=511)  # leaves no room for the prompt
    middleware = [DiekaeMiddleware(retriever), ModelFallbackMiddleware(chat)]

    answer = create_agent(broken, middleware=middleware).invoke(asking())["messages"][-1]

    assert answer.text == chat.invoke(QUESTION, documents=retriever.invoke(QUESTION)).text


def test_an_agent_reads_what_another_models_tool_found(chat, read_by_base):
    call = {"name": "search", "args": {"query": "Ada"}, "id": "1"}
    found = ToolMessage("Ada lives in Zanzibar.", tool_call_id="1", artifact=DOCUMENTS)

    state = create_agent(chat).invoke(
        asking(HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), found)
    )

    assert state["messages"][-1].text == chat.invoke(QUESTION, documents=DOCUMENTS).text
    assert not any("Zanzibar" in text for text in read_by_base)


@pytest.mark.parametrize("run", [RUNS["invoke"], RUNS["ainvoke"]], ids=["invoke", "ainvoke"])
def test_an_error_of_the_retriever_is_raised(chat, run):
    def find(question):
        raise LookupError("the index is gone")

    agent = create_agent(chat, middleware=[DiekaeMiddleware(RunnableLambda(find))])

    with pytest.raises(LookupError, match="the index is gone"):
        run(agent, asking())


class Town(BaseModel):
    """A town."""

    name: str


@pytest.mark.parametrize("form", [Town, ProviderStrategy(Town)], ids=["class", "strategy"])
def test_an_agent_fills_a_form_from_what_is_found(model, retriever, say, read_by_base, form):
    say('{"name": "Kolwick"}')
    chat = ChatDiekae(engine=model, max_new_tokens=40)
    middleware = [DiekaeMiddleware(retriever)]

    state = create_agent(chat, middleware=middleware, response_format=form).invoke(asking())

    assert state["structured_response"] == Town(name="Kolwick")
    assert state["messages"][-1].response_metadata["sources"]
    assert "Answer with JSON" in read_by_base[0]
    assert not any("Zanzibar" in text for text in read_by_base)


def test_a_tool_is_refused_and_what_to_do_instead_is_said(chat):
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    with pytest.raises(NotImplementedError, match="DiekaeMiddleware"):
        create_agent(chat, tools=[add]).invoke(asking())


def test_what_is_no_retriever_raises(chat):
    with pytest.raises(TypeError, match="RunnableLambda"):
        DiekaeMiddleware(lambda question: [])


def test_what_is_found_must_be_documents(chat):
    middleware = [DiekaeMiddleware(RunnableLambda(lambda question: "Ada lives in Turin."))]

    with pytest.raises(TypeError, match="documents must be a list"):
        create_agent(chat, middleware=middleware).invoke(asking())


def test_the_reader_that_ships_answers_as_an_agent_from_its_index(embedder):
    texts = [
        "Drola Brenk was born in Kolwick. Drola Brenk works as a nurse.",
        "Brenk Mills was founded in 1871. Brenk Mills makes paper kites.",
        "Kolwick has 4,180 inhabitants. The river Trauva flows through Kolwick.",
    ]
    retriever = DiekaeRetriever(index=PassageIndex.build(texts, embedder), k=2)
    chat = ChatDiekae(model="demo")
    agent = create_agent(chat, middleware=[DiekaeMiddleware(retriever)])

    answer = agent.invoke(asking(HumanMessage("Where was Drola Brenk born?")))["messages"][-1]

    assert answer.text == "Kolwick" != chat.invoke("Where was Drola Brenk born?").text
    details = answer.usage_metadata["input_token_details"]
    assert details["knowledge_kept_out"] > answer.usage_metadata["input_tokens"]

"""Documents that messages bring, as in LangChain's integration of Cohere."""

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_diekae import create_diekae_documents_chain

from .conftest import DOCUMENTS, QUESTION, SECRETS, WAYS

WORDED = f"Human: {QUESTION}"
ADA, BOB = DOCUMENTS
CLEO = Document(page_content="Cleo lives in Lima.")
TALKING = {name: way for name, way in WAYS.items() if "generate" not in name}
every_way = pytest.mark.parametrize("ask", TALKING.values(), ids=list(TALKING))


def ask_with(*documents):
    return HumanMessage(QUESTION, additional_kwargs={"documents": list(documents)})


def answer_from(llm, prompt, *documents):
    texts = [document.page_content for document in documents]
    return llm.engine.generate(prompt, texts, max_new_tokens=8).text


def sources(result):
    return [source["text"] for source in result.generations[0][0].generation_info["sources"]]


@every_way
def test_documents_of_a_message_go_to_the_encoders(llm, read_by_base, ask):
    answer = ask(llm, [ask_with(ADA, BOB)])

    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]
    assert answer == answer_from(llm, WORDED, ADA, BOB) != answer_from(llm, WORDED)


@every_way
def test_documents_of_the_call_come_before_those_of_messages(llm, ask):
    answer = ask(llm, [ask_with(ADA)], documents=[BOB, CLEO])

    assert answer == answer_from(llm, WORDED, BOB, CLEO, ADA)


@every_way
def test_a_chat_template_hands_on_what_its_messages_bring(llm, ask):
    value = ChatPromptTemplate.from_messages([ask_with(ADA, BOB)]).invoke({})

    assert ask(llm, value) == answer_from(llm, WORDED, ADA, BOB)


@pytest.mark.parametrize("use_async", [False, True])
def test_chains_that_call_generate_prompt_hand_it_on_too(llm, use_async):
    value = ChatPromptTemplate.from_messages([ask_with(ADA, BOB)]).invoke({})

    call = llm.agenerate_prompt([value]) if use_async else None
    result = asyncio.run(call) if call else llm.generate_prompt([value])

    assert sources(result) == [ADA.page_content, BOB.page_content]


def test_the_last_message_comes_first(llm):
    history = [SystemMessage("Be brief.", additional_kwargs={"documents": [CLEO]}), ask_with(BOB)]

    result = llm.generate_prompt(
        [ChatPromptTemplate.from_messages([*history, ask_with(ADA)]).invoke({})]
    )

    assert sources(result) == [document.page_content for document in (ADA, BOB, CLEO)]


def test_what_an_earlier_answer_was_based_on_stays_aside(llm):
    cited = AIMessage("In Lima.", additional_kwargs={"documents": [{"snippet": "Lima"}]})

    assert llm.invoke([cited, ask_with()]) == llm.invoke([AIMessage("In Lima."), ask_with()])


def test_each_prompt_of_a_batch_keeps_its_messages_documents(llm):
    answers = llm.batch([[ask_with(ADA)], [ask_with(BOB)]], documents=[None, [CLEO]])

    assert answers == [answer_from(llm, WORDED, ADA), answer_from(llm, WORDED, CLEO, BOB)]


def test_the_diekae_chain_reads_its_own_documents_and_those_of_messages(llm, read_by_base):
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("history"), ("human", "{input}")]
    )
    chain = create_diekae_documents_chain(llm, prompt)

    answer = chain.invoke({"context": [BOB], "history": [ask_with(ADA)], "input": "Who?"})

    assert answer == answer_from(llm, f"{WORDED}\nHuman: Who?", BOB, ADA)
    assert not any("Zanzibar" in text for text in read_by_base)


@every_way
@pytest.mark.parametrize("wrong", ["Ada lives in Turin.", ADA, [3]], ids=["str", "one", "int"])
def test_what_is_no_list_of_documents_raises(llm, ask, wrong):
    message = HumanMessage(QUESTION, additional_kwargs={"documents": wrong})

    with pytest.raises(TypeError):
        ask(llm, [message])


@pytest.mark.parametrize("nothing", [None, []])
def test_a_message_without_documents_is_a_question(llm, nothing):
    message = HumanMessage(QUESTION, additional_kwargs={"documents": nothing})

    assert llm.invoke([message]) == llm.invoke([HumanMessage(QUESTION)])

"""Documents that messages bring to a chat model: beside the text, in blocks, from tools."""

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.content import create_plaintext_block
from langchain_core.tools import create_retriever_tool

from .conftest import CHAT_WAYS, DOCUMENTS, QUESTION, SECRETS

ADA, BOB = DOCUMENTS
CLEO = Document(page_content="Cleo lives in Lima.")
every_way = pytest.mark.parametrize("ask", CHAT_WAYS.values(), ids=list(CHAT_WAYS))


def with_blocks(*blocks):
    return [HumanMessage([{"type": "text", "text": QUESTION}, *blocks])]


def called(artifact, content="Ada lives in Zanzibar. Bob lives in Quebec."):
    call = {"name": "search", "args": {"query": "Ada"}, "id": "1"}
    return [
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[call]),
        ToolMessage(content, tool_call_id="1", artifact=artifact),
    ]


def block(text):
    return {"type": "text", "text": text}


TEXTS = [document.page_content for document in DOCUMENTS]
CARRIERS = {
    "kwargs": [HumanMessage(QUESTION, additional_kwargs={"documents": DOCUMENTS})],
    "text-plain": with_blocks(*map(create_plaintext_block, TEXTS)),
    "document with text": with_blocks(
        *(
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": t}}
            for t in TEXTS
        )
    ),
    "document with content": with_blocks(
        {"type": "document", "source": {"type": "content", "content": [*map(block, TEXTS)]}}
    ),
    "document with a string": with_blocks(
        *({"type": "document", "source": {"type": "content", "content": t}} for t in TEXTS)
    ),
    "search_result": with_blocks(
        {"type": "search_result", "source": "x", "title": "y", "content": [*map(block, TEXTS)]}
    ),
    "artifact": called(DOCUMENTS),
    "tool's blocks": [
        HumanMessage(QUESTION),
        ToolMessage([create_plaintext_block(text) for text in TEXTS], tool_call_id="1"),
    ],
}
carrying = pytest.mark.parametrize("messages", CARRIERS.values(), ids=list(CARRIERS))


@every_way
@carrying
def test_documents_of_messages_go_to_the_encoders_and_not_into_the_prompt(
    chat, expected, read_by_base, ask, messages
):
    assert ask(chat, messages) == expected
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


@carrying
@pytest.mark.parametrize("mode", ["stuff", "none"])
def test_the_mode_holds_for_documents_of_messages(chat, messages, mode):
    same = chat.invoke(QUESTION, documents=DOCUMENTS, mode=mode)

    assert chat.invoke(messages, mode=mode).text == same.text


def test_a_retrievers_tool_is_read_from_its_artifact(chat, retriever, read_by_base):
    tool = create_retriever_tool(
        retriever, "search", "Finds people.", response_format="content_and_artifact"
    )
    call = {"name": "search", "args": {"query": QUESTION}, "id": "1", "type": "tool_call"}

    answer = chat.invoke(
        [HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), tool.invoke(call)]
    )

    assert [s["id"] for s in answer.response_metadata["sources"]] == [
        document.id for document in retriever.invoke(QUESTION)
    ]
    assert not any("Zanzibar" in text for text in read_by_base)


@pytest.mark.parametrize("artifact", [None, [], {"rows": 3}, ["text"], [{"text": "a"}]], ids=str)
def test_another_tools_artifact_is_left_and_its_text_is_said(chat, artifact):
    prompt = chat._ask(called(artifact, "It is 4."), None, {})[1]["prompt"]

    assert prompt == f"{QUESTION}\nIt is 4."
    assert not chat.invoke(called(artifact, "It is 4.")).response_metadata["sources"]


@every_way
@pytest.mark.parametrize(
    "last",
    [
        [HumanMessage(QUESTION, additional_kwargs={"documents": [BOB]})],
        called([BOB]),
        with_blocks(create_plaintext_block(BOB.page_content)),
    ],
    ids=["kwargs", "artifact", "blocks"],
)
def test_the_calls_documents_come_first_then_the_last_messages(chat, ask, last):
    first = SystemMessage("Be brief.", additional_kwargs={"documents": [CLEO, ADA]})

    answer = ask(chat, [first, *last], documents=[ADA])

    in_order = chat.invoke(
        [SystemMessage("Be brief."), ("user", QUESTION)], documents=[ADA, BOB, CLEO]
    )
    assert answer == in_order.text
    sources = chat.invoke([first, *last], documents=[ADA]).response_metadata["sources"]
    assert [s["text"] for s in sources] == [d.page_content for d in (ADA, BOB, CLEO)]


def test_blocks_keep_what_they_say_of_themselves(chat):
    result = {"type": "search_result", "source": "https://a.b", "title": "People"}
    plain = create_plaintext_block("Bob lives in Quebec.", title="Bob", context="A list.")

    answer = chat.invoke(with_blocks({**result, "content": [block("Ada lives in Rome.")]}, plain))

    assert [source["metadata"] for source in answer.response_metadata["sources"]] == [
        {"source": "https://a.b", "title": "People"},
        {"title": "Bob", "context": "A list."},
    ]


def test_what_an_earlier_answer_was_based_on_stays_aside(chat):
    cited = AIMessage(
        [block("In Lima."), create_plaintext_block("Cleo lives in Lima.")],
        additional_kwargs={"documents": [{"snippet": "Lima"}]},
    )

    answer = chat.invoke([HumanMessage("Where?"), cited, HumanMessage(QUESTION)])

    assert answer.response_metadata["sources"] == []
    assert (
        answer.text
        == chat.invoke([("user", "Where?"), ("ai", "In Lima."), ("user", QUESTION)]).text
    )


def test_the_messages_that_came_in_are_left_as_they_were(chat):
    message = HumanMessage(QUESTION, additional_kwargs={"documents": [ADA]})
    before = message.model_copy(deep=True)

    chat.invoke([message], documents=[BOB])

    assert message == before


@pytest.mark.parametrize(
    "wrong",
    ["Ada lives in Turin.", ADA, [3], (d for d in DOCUMENTS)],
    ids=["str", "one", "int", "gen"],
)
@pytest.mark.parametrize("more", [None, [BOB]], ids=["alone", "with the call's"])
def test_what_is_no_list_of_documents_raises(chat, wrong, more):
    message = HumanMessage(QUESTION, additional_kwargs={"documents": wrong})

    with pytest.raises(TypeError):
        chat.invoke([message], documents=more)


@pytest.mark.parametrize(
    "unreadable",
    [
        {"type": "text-plain", "base64": "QWRh", "mime_type": "text/plain"},
        {"type": "document", "source": {"type": "base64", "data": "QWRh"}},
        {"type": "document", "source": {"type": "url", "url": "https://a.b"}},
        {"type": "search_result", "source": "x", "title": "y"},
        {"type": "image", "url": "https://a.b/c.png"},
        {"type": "file", "file_id": "7"},
    ],
    ids=lambda block: block["type"],
)
def test_a_block_without_text_raises(chat, unreadable):
    with pytest.raises(ValueError, match=f"'{unreadable['type']}'.* has no text that can be read"):
        chat.invoke(with_blocks(unreadable))

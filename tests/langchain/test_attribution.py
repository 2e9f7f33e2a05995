"""How much each document contributed, beside the sources of every generation."""

import asyncio
import json

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_diekae import ChatDiekae, DiekaeLLM

from .conftest import DOCUMENTS, QUESTION

TEXTS = [document.page_content for document in DOCUMENTS]


class Results(BaseCallbackHandler):
    def __init__(self):
        self.infos = []

    def on_llm_end(self, response, **kwargs):
        self.infos += [g.generation_info for row in response.generations for g in row]


@pytest.fixture
def expected(model):
    """What the core finds for the same passages."""
    answer = model.generate(QUESTION, TEXTS, max_new_tokens=8, attribute=True)
    return [found.nats for found in answer.attribution]


async def read(stream):
    return [piece async for piece in stream]


ASKED = {
    "invoke": lambda llm, **kw: llm.invoke(QUESTION, **kw),
    "ainvoke": lambda llm, **kw: asyncio.run(llm.ainvoke(QUESTION, **kw)),
    "stream": lambda llm, **kw: list(llm.stream(QUESTION, **kw)),
    "astream": lambda llm, **kw: asyncio.run(read(llm.astream(QUESTION, **kw))),
    "batch": lambda llm, **kw: llm.batch([QUESTION], **kw),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))
@pytest.mark.parametrize("where", ["constructor", "call"])
def test_every_way_of_asking_tells_what_each_document_contributed(model, expected, ask, where):
    seen, given = Results(), {"attribute": True}
    llm = DiekaeLLM(engine=model, max_new_tokens=8, **(given if where == "constructor" else {}))

    ask(
        llm,
        documents=DOCUMENTS,
        config={"callbacks": [seen]},
        **(given if where == "call" else {}),
    )

    (info,) = seen.infos
    assert [s["attribution"]["nats"] for s in info["sources"]] == pytest.approx(expected, abs=1e-4)
    assert info["usage"]["attribution_tokens"] == 3 * info["usage"]["total_tokens"]
    assert info["usage"]["attribution_seconds"] > 0
    json.dumps(info)


def test_prompts_with_other_numbers_of_documents_keep_their_own(llm, expected):
    result = llm.generate([QUESTION, "Who?"], documents=[DOCUMENTS, None], attribute=True)

    first, second = (row[0].generation_info for row in result.generations)
    found = [source["attribution"]["nats"] for source in first["sources"]]
    assert found == pytest.approx(expected, abs=1e-4)
    assert second["sources"] == []
    assert second["usage"]["attribution_tokens"] == 0


def test_a_chat_tells_it_in_the_metadata_of_its_answer(model):
    chat = ChatDiekae(engine=model, max_new_tokens=8, attribute=True)

    whole = chat.invoke(QUESTION, documents=DOCUMENTS)
    *_, last = chat.stream(QUESTION, documents=DOCUMENTS)

    for message in (whole, last):
        sources = message.response_metadata["sources"]
        assert [source["text"] for source in sources] == TEXTS
        assert all(source["attribution"]["nats"] for source in sources)
    assert whole.response_metadata["sources"] == last.response_metadata["sources"]


def test_what_was_not_asked_for_is_not_there(llm):
    info = llm.generate([QUESTION], documents=DOCUMENTS).generations[0][0].generation_info

    assert set(info["sources"][0]) == {"id", "text", "score", "metadata"}


def test_a_call_can_leave_it_out(model):
    llm = DiekaeLLM(engine=model, max_new_tokens=8, attribute=True)

    result = llm.generate([QUESTION], documents=DOCUMENTS, attribute=False)

    assert "attribution" not in result.generations[0][0].generation_info["sources"][0]


@pytest.mark.parametrize("ask", ASKED.values(), ids=list(ASKED))
def test_where_no_document_is_read_it_is_refused(llm, ask):
    with pytest.raises(ValueError, match="attribute=True asks what each passage contributed"):
        ask(llm, documents=DOCUMENTS, attribute=True, mode="none")

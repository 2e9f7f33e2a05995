"""Prompts that were altered between chain and model: refused, but never for what users write."""

import json

import pytest
from langchain_classic.chains.combine_documents import create_stuff_documents_chain
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import PromptTemplate
from langchain_diekae import DiekaeLLM
from langchain_diekae.wire import Wire

from diekae_rag import Passage

from .conftest import DOCUMENTS, QUESTION, SECRETS, WAYS

ALTERATIONS = {
    "cut at its start": lambda prompt: prompt[5:],
    "cut inside a passage": lambda prompt: prompt[40:],
    "cut at its end": lambda prompt: prompt[: prompt.rindex("Quebec") + 6],
    "cut in its middle": lambda prompt: prompt[:60] + prompt[70:],
    "quoted": json.dumps,
}


@pytest.fixture
def nothing_is_read(read_by_base):
    yield
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


def mustache_chain(llm, template):
    prompt = PromptTemplate.from_template(template, template_format="mustache")
    return create_stuff_documents_chain(llm, prompt, document_prompt=llm.document_prompt)


@pytest.mark.usefixtures("nothing_is_read")
@pytest.mark.parametrize("way", ["invoke", "batch", "stream", "astream"])
@pytest.mark.parametrize("alter", ALTERATIONS.values(), ids=list(ALTERATIONS))
def test_an_altered_prompt_is_refused(llm, way, alter):
    altered = alter(llm.attach_documents(QUESTION, DOCUMENTS))

    with pytest.raises(ValueError, match="altered on the way"):
        WAYS[way](llm, altered)


@pytest.mark.usefixtures("nothing_is_read")
def test_a_template_that_escapes_documents_is_refused_and_told_how_not_to(llm):
    chain = mustache_chain(llm, "{{context}}\n\n{{input}}")

    with pytest.raises(ValueError, match=r"write \{\{\{context\}\}\}\)"):
        chain.invoke({"context": DOCUMENTS, "input": QUESTION})


@pytest.mark.usefixtures("nothing_is_read")
def test_a_template_that_is_told_not_to_escape_works(llm, expected):
    chain = mustache_chain(llm, "{{{context}}}\n\n{{input}}")

    assert chain.invoke({"context": DOCUMENTS, "input": QUESTION}) == expected


@pytest.mark.usefixtures("nothing_is_read")
def test_documents_inside_a_tool_call_are_refused(llm):
    call = {"name": "look", "args": {"notes": llm.format_docs(DOCUMENTS)}, "id": "1"}

    with pytest.raises(ValueError, match="altered on the way"):
        llm.invoke([HumanMessage(QUESTION), AIMessage("", tool_calls=[call])])


def test_passages_wrapped_for_another_nonce_are_warned_about(llm):
    other = DiekaeLLM(engine=llm.engine, nonce="other", max_new_tokens=2)

    with pytest.warns(UserWarning, match="another nonce"):
        other.invoke(f"{llm.format_docs(['a'])} {QUESTION}")


@pytest.mark.filterwarnings("ignore:the prompt holds passages")
def test_a_user_who_imitates_documents_breaks_no_call(llm, expected):
    imitation = Wire("guessed").wrap([Passage("Ada lives in Turin.")])
    damaged = imitation.replace('"', "&quot;")

    answers = llm.batch([f"{imitation} Who?", f"{damaged} Who?", QUESTION], documents=DOCUMENTS)

    assert answers[2] == expected

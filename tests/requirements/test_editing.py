"""Edits through both hosts: the same verbs, told beside every answer."""

import pickle

import pytest

from diekae_rag.editing import Edits
from diekae_rag.index import SentenceTransformerEmbedder
from tests.requirements.conftest import PASSAGES, QUESTION, TALK

ADA = ("Ada", "{} lives in", "Zanzibar", "Turin")


@pytest.fixture(scope="module")
def embedder():
    return SentenceTransformerEmbedder()


@pytest.fixture
def edited(host, embedder):
    host.llm.engine.edits = Edits(embedder)
    host.llm.edits.add(*ADA)
    return host


def told_edits(said):
    """What a host tells of the edits, beside usage and sources."""
    whole = said.whole
    if hasattr(whole, "raw"):
        return whole.raw["edits"]
    if hasattr(whole, "response_metadata"):
        return whole.response_metadata["edits"]
    return whole.generations[0][0].generation_info["edits"]


def test_an_edit_holds_from_the_next_call_on_and_is_told(edited):
    said = edited.ask(QUESTION, PASSAGES)
    expected = edited.llm.engine.generate(QUESTION, PASSAGES, max_new_tokens=8)

    assert said.text == expected.text
    assert told_edits(said) == [edit.to_dict() for edit in expected.edits]
    assert [edit["new"] for edit in told_edits(said)] == ["Turin"]
    assert said.sources[0]["id"] == "edit-1"


def test_another_question_is_answered_as_without_edits(edited):
    said = edited.ask("Where does Bob live?", PASSAGES)
    edited.llm.edits.clear()

    assert told_edits(said) == []
    assert edited.ask("Where does Bob live?", PASSAGES).text == said.text


def test_an_edit_holds_in_streams_and_batches(edited):
    text = edited.ask(QUESTION).text
    streamed = "".join(edited.stream(QUESTION))
    (batched,) = edited.batch([QUESTION], [[]])
    edited.llm.edits.rollback(0)

    assert streamed == batched == text
    assert edited.ask(QUESTION).text != text


def test_an_edit_holds_in_conversations_that_a_template_words(templated, make_host, embedder):
    host = make_host(templated)
    before = host.converse(TALK)
    host.llm.engine.edits = Edits(embedder)
    host.llm.edits.add(*ADA)
    after = host.converse(TALK)
    host.llm.edits.clear()

    assert after != before == host.converse(TALK)


def test_a_cache_of_answers_tells_edits_apart(edited):
    llm = edited.llm
    if not hasattr(llm, "_identifying_params"):
        pytest.skip("this host has no cache of answers")
    before = llm._identifying_params
    llm.edits.add(*ADA[:3], "Oltun")

    assert llm._identifying_params != before
    llm.edits.rollback(1)
    assert llm._identifying_params == before


def test_edits_are_not_lost_in_pickling(edited):
    with pytest.raises(TypeError, match=r"1 edits would be lost|engine of one's own"):
        pickle.dumps(edited.llm)

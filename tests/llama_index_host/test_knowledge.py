"""From context to passages: where text is taken apart, and that nothing is lost."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import ChatMessage
from llama_index.llms.diekae.knowledge import read_context

from diekae_rag import DiekaeModel
from diekae_rag.prompting import Wording


def texts(value, model: DiekaeModel) -> list[str]:
    return [passage.text for passage in read_context(value, model)]


def test_paragraphs_are_passages(model):
    assert texts("Ada.\n\nBo.\n \n\nCy.\nDi.", model) == ["Ada.", "Bo.", "Cy.\nDi."]


def test_lists_and_messages_are_read_one_by_one(model):
    assert texts(["Ada.", "Bo."], model) == ["Ada.", "Bo."]
    assert texts([ChatMessage("Ada."), ChatMessage("Bo.")], model) == ["Ada.", "Bo."]


@pytest.mark.parametrize("blank", ["", " ", "\n\n\n", [], [""]])
def test_nothing_to_read_is_no_passage(blank, model):
    assert texts(blank, model) == []


def test_file_metadata_becomes_the_metadata_of_its_text(model):
    first, second = read_context("file_path: /a/b.txt\npage_label: 2\n\nAda.\n\nBo.", model)

    assert (first.text, first.metadata) == ("Ada.", {"file_path": "/a/b.txt", "page_label": "2"})
    assert (second.text, second.metadata) == ("Bo.", {})


def test_lines_that_only_look_like_metadata_are_read(model):
    assert texts("born_in: Kolwick\n\nAda.", model) == ["born_in: Kolwick", "Ada."]


def test_a_paragraph_too_long_for_the_encoders_is_several_passages(model):
    sentences = [f"Person number {n} lives in the town of Kolwick." for n in range(8)]

    passages = texts(" ".join(sentences), model)

    assert len(passages) > 1
    assert all(any(sentence in passage for passage in passages) for sentence in sentences)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.lists(st.text(max_size=20), min_size=15, max_size=40).map(" ".join))
@example(text="x.y.z." * 40)
@example(text="ab" * 100)
def test_no_text_is_cut_and_no_word_is_lost(text, model):
    passages = texts(text, model)
    options = {"max_new_tokens": 1}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = model.generate("Who?", passages, **options)

    assert answer.usage.truncated_tokens == 0
    assert "".join("".join(passages).split()) == "".join(text.split())


def test_paragraphs_are_tokenized_together(model, monkeypatch):
    calls = []
    tokenize = Wording.tokenize_passages

    def counting(*args):
        calls.append(args)
        return tokenize(*args)

    monkeypatch.setattr(Wording, "tokenize_passages", counting)

    assert len(texts("\n\n".join(f"Person {n}." for n in range(50)), model)) == 50
    assert len(calls) <= 2

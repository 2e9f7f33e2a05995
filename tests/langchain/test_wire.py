"""Passages inside prompt strings: nothing gets lost, nothing breaks out."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_diekae.wire import Wire

from diekae_rag import Passage
from diekae_rag.demo.episodes import word_prompt

NONCE = "secret"
WIRE = Wire(NONCE)
HOSTILE = st.sampled_from(
    [f"[[diekae:{NONCE}]]", f"[[/diekae:{NONCE}]]", "[[", "]]", "\\u005b", "\\", '"', "{}", "\n"]
)
TEXTS = st.lists(st.one_of(st.text(max_size=20), HOSTILE), max_size=6).map("".join)
BLANKS = st.sampled_from([" ", "\n", "\t", "\r\n"])
METADATA = st.dictionaries(
    TEXTS, st.one_of(TEXTS, st.integers(), st.none(), st.lists(st.lists(TEXTS, max_size=1)))
)
PASSAGES = st.builds(
    Passage, TEXTS, id=TEXTS, score=st.none() | st.floats(allow_nan=False), metadata=METADATA
)


@settings(deadline=None, max_examples=60)
@example("\n  Who?\n ", [Passage("Turin.")])
@given(st.lists(st.text(max_size=3) | BLANKS).map("".join), st.lists(PASSAGES, max_size=3))
def test_an_attached_prompt_comes_back_to_the_character_with_its_passages(prompt, passages):
    assert WIRE.take(WIRE.attach(prompt, passages)) == (prompt, passages)


@settings(deadline=None, max_examples=60)
@given(st.lists(PASSAGES, min_size=1, max_size=3))
def test_wrapped_passages_leave_the_text_around_them_alone(passages):
    prompt = f"Use this.\n\n{WIRE.wrap(passages)}\n\nQuestion:  Who? \n"

    assert WIRE.take(prompt) == ("Use this.\n\nQuestion:  Who? \n", passages)


@settings(deadline=None, max_examples=40)
@given(PASSAGES)
def test_no_passage_contains_a_delimiter_even_if_it_knows_the_nonce(passage):
    segment = WIRE.wrap([passage])

    assert segment.count("[[") == 2
    assert segment.encode()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(HOSTILE, st.text(max_size=5)), max_size=12).map("".join))
def test_any_prompt_can_be_read_and_what_is_no_segment_stays(prompt):
    text, passages = WIRE.take(prompt)

    assert passages == []
    assert text == prompt or f"[[diekae:{NONCE}]]{{}}[[/diekae:{NONCE}]]" in prompt


@settings(deadline=None, max_examples=40)
@given(st.text())
def test_text_that_does_not_know_the_nonce_cannot_bring_passages(text):
    imitation = Wire("guessed").wrap([Passage(text)])

    with pytest.warns(UserWarning, match="another nonce"):
        assert WIRE.take(imitation) == (imitation, [])


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_nonsense_between_delimiters_is_text(depth):
    prompt = f"[[diekae:{NONCE}]]" + '{"text":' * depth + "}" * depth + f"[[/diekae:{NONCE}]]"

    assert WIRE.take(prompt) == (prompt, [])


def test_lone_surrogates_travel_as_escapes():
    passage = Passage("a\ud800b")

    segment = WIRE.wrap([passage])

    assert segment.isascii()
    assert WIRE.take(segment)[1] == [passage]


def test_metadata_that_is_not_json_comes_back_as_strings():
    passage = Passage("a", metadata={"path": {1}})

    (read,) = WIRE.take(WIRE.wrap([passage]))[1]

    assert read.metadata == {"path": "{1}"}


def test_segments_are_readable_in_traces():
    assert "Zürich" in WIRE.wrap([Passage("Zürich")])


@pytest.mark.parametrize("nonce", ["", "a]", "[", "a b", "ä\n"])
def test_a_nonce_that_could_break_a_delimiter_is_refused(nonce):
    with pytest.raises(ValueError, match="nonce"):
        Wire(nonce)


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("separator", ["\n\n", "\n", " ", ""])
@pytest.mark.parametrize(
    ("template", "left"),
    [
        (
            "Use the given context to answer the question.\n\n{context}\n\nQuestion: {question}",
            "Use the given context to answer the question.\n\nQuestion: {question}",
        ),
        ("{context}\n\nQuestion: {question}\nAnswer:", "Question: {question}\nAnswer:"),
        (
            "{context}\n\nQuestion: {question}\nHelpful Answer:",
            "Question: {question}\nHelpful Answer:",
        ),
        ("Human: {question}\n\n\n{context}\n", "Human: {question}"),
        ("System: Context: {context}\nHuman: {question}", "System: Context:\nHuman: {question}"),
        ("Given {context} answer {question}", "Given answer {question}"),
        ("({context}) {question}", "() {question}"),
        ("Facts:\n{context}\n    {question}\n\n\nEnd.", "Facts:\n    {question}\n\n\nEnd."),
        ("A.\n \n\t\n{context}\n\n\n\nB.", "A.\n\nB."),
    ],
)
def test_what_stood_around_the_context_closes_up(template, left, count, separator):
    segments = separator.join([WIRE.wrap([Passage(str(n))]) for n in range(count)])
    context = segments or WIRE.wrap([])

    prompt, passages = WIRE.take(template.replace("{context}", context))

    assert prompt == left
    assert [passage.text for passage in passages] == [str(n) for n in range(count)]


def test_the_usual_templates_end_as_wordings_that_readers_are_trained_on():
    usual = "{context}\n\nQuestion: {question}\nHelpful Answer:"

    prompt, _ = WIRE.take(usual.replace("{context}", WIRE.wrap([Passage("a")])))

    rng = random.Random(0)
    assert prompt in {word_prompt(rng, "{question}") for _ in range(3000)}


def test_a_separator_with_text_in_it_stays():
    context = "\n---\n".join(WIRE.wrap([Passage(text)]) for text in "ab")

    assert WIRE.take(f"{context}\n\nWho?")[0] == "---\n\nWho?"


def test_a_segment_is_flat_json():
    segment = WIRE.wrap([Passage("a[b", metadata={"k": [["v"]]})])

    fields = json.loads(segment.partition("]]")[2].rpartition("[[")[0])

    assert fields["text"] == "a[b"
    assert json.loads(fields["metadata"]) == {"k": [["v"]]}

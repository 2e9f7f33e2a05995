"""A passage is read from whatever users have at hand, and never from what is none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.passages import Passage, as_passage, as_passages

ANY = st.text(st.characters())


@given(text=ANY, other=ANY)
def test_the_same_text_has_the_same_id_and_another_text_another(text, other):
    assert Passage(text).id == Passage(text).id
    assert (Passage(text).id == Passage(other).id) == (text == other)


@given(text=ANY)
def test_every_way_to_give_a_text_is_the_same_passage(text):
    document = SimpleNamespace(page_content=text, metadata={})

    ways = [text, Passage(text), {"text": text}, document]

    assert as_passages(ways) == [Passage(text)] * 4


@given(text=st.text(" \n\t\u2003\u00a0"))
def test_spaces_alone_are_blank(text):
    assert Passage(text).is_blank


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(0),
        7,
        "0",
    ],
)
def test_an_id_is_kept_whatever_it_is(number):
    assert as_passage({"text": "a", "id": number}).id == str(number)


def test_other_keys_of_a_mapping_are_its_metadata():
    passage = as_passage({"text": "a", "source": "x.txt", "metadata": {"page": 3}})

    assert passage.metadata == {"source": "x.txt", "page": 3}


def test_a_score_of_nought_is_kept():
    assert as_passage({"text": "a", "score": 0.0}).score == 0.0


@pytest.mark.parametrize("text", [None, 3, b"a", ["a"]])
def test_a_text_that_is_no_string_is_refused(text):
    with pytest.raises(TypeError, match=r"text|passage"):
        Passage(text)
    with pytest.raises(TypeError, match="passage"):
        as_passage({"text": text})


@pytest.mark.parametrize("items", ["a", Passage("a"), {"text": "a"}])
def test_one_passage_where_a_list_is_needed_is_refused(items):
    with pytest.raises(TypeError, match="wrap it"):
        as_passages(items)


def test_a_generator_is_a_list_of_passages():
    assert [p.text for p in as_passages(text for text in "ab")] == ["a", "b"]

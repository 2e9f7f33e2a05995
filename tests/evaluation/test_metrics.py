import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.evaluation import Share, is_exact_match, normalise


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_every_text_matches_itself(text):
    assert is_exact_match(text, text)


@given(st.text(), st.text())
def test_matching_has_no_direction(one, other):
    assert is_exact_match(one, other) == is_exact_match(other, one)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_case_does_not_count(text):
    assert normalise(text.upper()) == normalise(text.lower())


@given(st.text(), st.sampled_from(".,;:!?-\u2013\u2014'\"()[]«»…"))
def test_punctuation_around_an_answer_does_not_count(text, mark):
    assert is_exact_match(f"{mark} {text}{mark}\n", text)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("the harp", "harp"), ("Kolwick Kolwick", "Kolwick"), ("1 May 1800", "1 May 1801"), ("", "a")],
)
def test_other_words_count(answer, expected):
    assert not is_exact_match(answer, expected)


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(count, total):
    share = Share(min(count, total), total)
    low, high = share.interval
    assert 0 <= low <= share.value <= high <= 1
    assert low < high


@given(st.integers(0, 50), st.integers(1, 50))
def test_more_questions_make_an_interval_narrower(count, total):
    few = Share(min(count, total), total)
    many = Share(few.count * 10, total * 10)
    assert many.interval[1] - many.interval[0] < few.interval[1] - few.interval[0]


def test_wilsons_interval_is_the_one_in_the_books():
    assert Share(8, 10).interval == pytest.approx([0.4902, 0.9433], abs=1e-4)


def test_a_share_of_nothing_is_none():
    assert (Share(0, 0).value, Share(0, 0).interval) == (None, None)

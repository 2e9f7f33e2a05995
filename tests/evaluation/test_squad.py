import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.evaluation.squad import best_exact_match, best_f1, f1, normalise_answer

TEXTS = st.text(alphabet="abth eAT.,'-é", max_size=20)


@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Beatles", "beatles"),
        ("an  apple a day", "apple day"),
        ("theatre, Ann & a.m.", "theatre ann am"),
        ("U.S.\tdollars ($5)", "us dollars 5"),
        ("The a, an!", ""),
    ],
)
def test_normalising_is_that_of_the_official_script(text, expected):
    assert normalise_answer(text) == expected


@given(TEXTS, TEXTS)
def test_f1_is_a_share_without_direction(one, other):
    assert 0 <= f1(one, other) <= 1
    assert f1(one, other) == f1(other, one)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4))
def test_an_exact_match_has_all_of_f1(answer, accepted):
    if best_exact_match(answer, accepted):
        assert best_f1(answer, accepted) == 1


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
def test_accepting_more_never_lowers_a_figure(answer, accepted, another):
    assert best_f1(answer, [*accepted, another]) >= best_f1(answer, accepted)
    assert best_exact_match(answer, [*accepted, another]) >= best_exact_match(answer, accepted)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_an_accepted_answer_is_right_wherever_it_stands(answer, accepted):
    assert best_exact_match(answer, [*accepted, answer])
    assert best_f1(answer, [answer, *accepted]) == 1


def test_repeated_words_count_as_often_as_both_say_them():
    assert f1("goat goat goat", "goat") == pytest.approx(2 * 1 / (3 + 1))
    assert f1("black goat goat", "goat goat") == pytest.approx(2 * 2 / (3 + 2))


def test_nothing_matches_only_nothing():
    assert (f1("the", "a"), f1("the", "goat")) == (1, 0)

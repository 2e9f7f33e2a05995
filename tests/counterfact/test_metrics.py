"""What figures and goals of edits mean."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.counterfact.table.goals import check_goals
from diekae_rag.counterfact.table.metrics import (
    Reply,
    figures_of,
    fluency,
    harmonic_mean,
    ngram_entropy,
)
from diekae_rag.counterfact.table.questions import Question, Questions
from tests.counterfact.conftest import EDIT


def test_figures_are_one_where_all_is_as_wanted_and_nothing_where_it_is_not(sets):
    questions = Questions(sets).about(sets.edits[:5])
    right = figures_of(questions, [Reply(f" {q.wanted} ", -1.0, -2.0) for q in questions])
    wrong = figures_of(questions, [Reply(q.other, -2.0, -1.0) for q in questions])

    assert set(right["success"].values()) == set(right["accuracy"].values()) == {1.0}
    assert set(wrong["success"].values()) == set(wrong["accuracy"].values()) == {0.0}
    assert right["asked"] == {"efficacy": 5, "paraphrase": 5, "neighbourhood": 5}


def test_kinds_that_were_not_asked_have_no_figure():
    figures = figures_of([Question("efficacy", "a", "b", "c", EDIT)], [Reply("b", -1.0, -1.0)])

    assert figures["success"] == {"efficacy": 0.0}
    assert figures["accuracy"] == {"efficacy": 1.0}


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_a_harmonic_mean_lies_between_the_least_and_the_mean(shares):
    mean = harmonic_mean(shares)

    assert min(shares) - 1e-9 <= mean <= sum(shares) / len(shares) + 1e-9


@given(st.lists(st.integers(0, 5), max_size=30), st.sampled_from([2, 3]))
def test_entropy_counts_kinds_of_ngrams_and_not_what_they_are(tokens, size):
    entropy = ngram_entropy(tokens, size)
    runs = Counter(zip(*(tokens[k:] for k in range(size)), strict=False))

    assert -1e-9 <= entropy <= math.log2(max(1, len(runs))) + 1e-9
    assert ngram_entropy([7 - token for token in tokens], size) == pytest.approx(entropy)
    assert (entropy > 0) == (len(runs) > 1)


def test_fluency_is_the_mean_over_texts():
    texts = [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]]

    assert fluency(texts) == pytest.approx(fluency(texts[:1]) / 2)
    assert fluency([]) == 0


def test_goals_compare_with_the_unedited_reader_and_between_numbers_of_edits():
    def made(arm, count, share):
        shares = dict.fromkeys(("efficacy", "paraphrase", "neighbourhood"), share)
        setting = {"arm": arm, "count": count, "condition": "added"}
        return {"setting": setting, "success": shares, "accuracy": shares, "bit_identical": 1.0}

    met = check_goals([made("unedited", 1000, 1.0), made("as_knowledge", 1000, 1.0)])
    missed = check_goals([made("as_knowledge", 1000, 0.9), made("as_knowledge", 10_000, 0.8)])

    assert len(met) == 7
    assert all(goal["is_met"] for goal in met)
    assert not [g for g in missed if g["is_met"] and "paraphrase, accuracy" not in g["goal"]][1:]

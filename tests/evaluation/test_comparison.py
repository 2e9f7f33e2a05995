import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.evaluation.comparison import Scores, compare
from diekae_rag.evaluation.intervals import percentile_interval, resampled_means

MODES = {"none": "none", "stuff": "stuff", "inject": "inject"}


def scores(share, loss, n=40, seed=0):
    """``n`` records, of which ``share`` are right."""
    right = (np.arange(n) < share * n).astype(float)
    tokens = np.random.default_rng(seed).integers(1, 9, n).astype(float)
    return Scores(right, right, loss * tokens, tokens)


@given(st.integers(1, 30), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_draws_the_same_records_for_any_columns(n, seed):
    table = np.random.default_rng(0).normal(size=(n, 3))
    together = resampled_means(table, seed=seed, num_resamples=10)
    apart = [resampled_means(table[:, [i]], seed=seed, num_resamples=10)[:, 0] for i in range(3)]
    np.testing.assert_allclose(together, np.stack(apart, 1))


def test_the_interval_is_that_of_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).gamma(2.0, size=200)
    ours = percentile_interval(resampled_means(values[:, None], seed=1, num_resamples=4000)[:, 0])
    theirs = bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1)
    np.testing.assert_allclose(ours, theirs.confidence_interval, atol=0.02)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        drawn = rng.normal(1.0, size=(60, 1))
        low, high = percentile_interval(resampled_means(drawn, seed=seed, num_resamples=300)[:, 0])
        hits += low <= 1.0 <= high
    assert 0.90 <= hits / 200 <= 0.99


def test_more_records_make_an_interval_narrower():
    few, many = (compare({"none": scores(0.5, 1.0, n)}, MODES)[0]["none"] for n in (20, 2000))
    width = [high - low for low, high in (few["f1_interval"], many["f1_interval"])]
    assert width[1] < width[0] / 5


def test_loss_weighs_every_token_alike_and_perplexity_is_its_exponential():
    figures, _ = compare(
        {"none": Scores(np.zeros(2), np.zeros(2), np.array([9.0, 1.0]), np.array([3.0, 1.0]))},
        MODES,
    )
    assert figures["none"]["loss"] == pytest.approx(10 / 4)
    assert figures["none"]["perplexity"] == pytest.approx(math.exp(10 / 4))
    low, high = figures["none"]["loss_interval"]
    assert figures["none"]["perplexity_interval"] == pytest.approx([math.exp(low), math.exp(high)])


def test_a_perplexity_beyond_every_number_is_none():
    figures, _ = compare({"none": scores(0, 1e4)}, MODES)
    assert figures["none"]["perplexity"] is None


@given(st.floats(0.0, 1.0))
@settings(max_examples=20, deadline=None)
def test_retention_is_0_for_no_passages_1_for_stuffing_and_linear_between(share):
    none, stuff = scores(0.1, 4.0), scores(0.9, 2.0)
    between = Scores(
        *(
            one + share * (other - one)
            for one, other in zip(none.table.T, stuff.table.T, strict=True)
        )
    )
    _, kept = compare({"none": none, "stuff": stuff, "inject": between}, MODES, num_resamples=50)
    for name in ("exact_match", "f1", "loss"):
        assert kept["inject"][name] == pytest.approx(share)
        assert kept["inject"][f"{name}_interval"] == pytest.approx([share, share])  # paired draws


@pytest.mark.parametrize(("none", "stuff"), [(0.5, 0.5), (0.6, 0.4)])
def test_retention_of_no_gain_is_none(none, stuff):
    arms = {"none": scores(none, 2.0), "stuff": scores(stuff, 2.0), "inject": scores(0.9, 1.0)}
    kept = compare(arms, MODES, num_resamples=20)[1]["inject"]
    assert set(kept.values()) == {None}


def test_retention_of_a_gain_that_may_be_chance_has_no_interval():
    arms = {"none": scores(0.5, 2.0), "stuff": scores(0.5, 2.0), "inject": scores(0.5, 2.0)}
    arms["stuff"].f1[:] = np.roll(arms["stuff"].f1, 20)
    arms["stuff"].f1[0] = 1.0
    kept = compare(arms, MODES)[1]["inject"]
    assert kept["f1"] is not None
    assert kept["f1_interval"] is None


def test_only_injecting_arms_have_retention_and_only_beside_both_bounds():
    arms = {"none": scores(0.1, 4.0), "stuff": scores(0.9, 2.0), "inject": scores(0.5, 3.0)}
    assert set(compare(arms, MODES, num_resamples=5)[1]) == {"inject"}
    del arms["none"]
    assert compare(arms, MODES, num_resamples=5)[1] == {}


def test_losses_over_other_tokens_are_not_compared():
    arms = {"none": scores(0.1, 4.0, seed=0), "stuff": scores(0.9, 2.0, seed=1)}
    with pytest.raises(ValueError, match="other tokens"):
        compare(arms, MODES)


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="no records"):
        resampled_means(np.zeros((0, 2)), seed=0)
    with pytest.raises(ValueError, match="num_resamples must be at least 1, got 0"):
        resampled_means(np.zeros((2, 2)), seed=0, num_resamples=0)

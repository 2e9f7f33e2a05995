"""Figures of several arms on the same records, each with its interval, and what injection keeps.

Axes: n records, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diekae_rag.answers import Mode
from diekae_rag.evaluation.intervals import Floats, percentile_interval, resampled_means

__all__ = ["Scores", "compare"]

_MOST = math.log(np.finfo(np.float64).max)
_SIGNS = {"exact_match": 1.0, "f1": 1.0, "loss": -1.0}  # whether more is better


@dataclass(frozen=True, slots=True)
class Scores:
    """One arm's figures, record by record, ``[n]`` each.

    Args:
        exact_match: 0 or 1.
        f1: 0 to 1.
        negative_log_likelihood: Of the right answer, in nats.
        num_tokens: Of the right answer.
    """

    exact_match: Floats
    f1: Floats
    negative_log_likelihood: Floats
    num_tokens: Floats

    @property
    def table(self) -> Floats:
        """``[n, 4]``."""
        return np.stack(
            [self.exact_match, self.f1, self.negative_log_likelihood, self.num_tokens], 1
        )


def compare(
    scores: Mapping[str, Scores],
    modes: Mapping[str, Mode],
    *,
    seed: int = 0,
    num_resamples: int = 1000,
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Every arm's figures, and how much of what stuffing gains the injecting arms keep.

    Loss weighs every token alike, not every record. Retention is ``(injected - none) / (stuffed -
    none)`` of exact match, F1 and loss, over the same records and, for its interval, over the same
    draws of them; ``None`` where stuffing does not beat having no passages.

    Args:
        scores: By arm.
        modes: The arms' modes; retention needs arms named ``none`` and ``stuff``.
        seed: Of the draws.
        num_resamples: R.

    Returns:
        Arm -> figures, and arm -> retention; a 95 % ``..._interval`` beside each figure.

    Raises:
        ValueError: The arms did not score the same tokens.
    """
    tokens = [arm.num_tokens for arm in scores.values()]
    if any(not np.array_equal(other, tokens[0]) for other in tokens[1:]):
        raise ValueError(
            f"the arms {', '.join(scores)} cut the answers into other tokens, so that their losses "
            "cannot be compared; evaluate arms with one tokenizer and one wording together."
        )
    point = {name: _means(arm.table.mean(0)[None]) for name, arm in scores.items()}
    drawn = {
        name: _means(resampled_means(arm.table, seed=seed, num_resamples=num_resamples))
        for name, arm in scores.items()
    }
    figures = {name: _figures(point[name], drawn[name]) for name in scores}
    if not {"none", "stuff"} <= set(scores):
        return figures, {}
    retention = {
        name: _retention(name, point, drawn)
        for name in scores
        if modes[name] in ("inject", "combine")
    }
    return figures, retention


def _means(means: Floats) -> dict[str, Floats]:
    """``[R, 4]`` means of ``Scores.table`` to ``[R]`` of each figure."""
    exact_match, f1, nats, tokens = means.T
    return {"exact_match": exact_match, "f1": f1, "loss": nats / tokens}


def _figures(point: Mapping[str, Floats], drawn: Mapping[str, Floats]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, values in point.items():
        figures[name] = float(values[0])
        figures[f"{name}_interval"] = percentile_interval(drawn[name])
    ends = figures["loss_interval"]
    figures["perplexity"] = _perplexity(figures["loss"])
    figures["perplexity_interval"] = ends and [_perplexity(end) for end in ends]
    return figures


def _perplexity(loss: float) -> float | None:
    """``exp(loss)``, loss being in nats; ``None`` where no number is as large."""
    return math.exp(loss) if loss < _MOST else None


def _retention(
    name: str,
    point: Mapping[str, Mapping[str, Floats]],
    drawn: Mapping[str, Mapping[str, Floats]],
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for figure, sign in _SIGNS.items():
        share = _kept(*(sign * point[arm][figure] for arm in (name, "none", "stuff")))
        kept[figure] = None if np.isnan(share[0]) else float(share[0])
        samples = _kept(*(sign * drawn[arm][figure] for arm in (name, "none", "stuff")))
        kept[f"{figure}_interval"] = None if np.isnan(share[0]) else percentile_interval(samples)
    return kept


def _kept(injected: Floats, none: Floats, stuffed: Floats) -> Floats:
    """``(injected - none) / (stuffed - none)``, NaN where stuffing gains nothing."""
    gain = stuffed - none
    return np.where(gain > 0, (injected - none) / np.where(gain > 0, gain, 1.0), np.nan)

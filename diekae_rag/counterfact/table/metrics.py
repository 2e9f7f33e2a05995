"""From replies to figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diekae_rag.counterfact.table.questions import KINDS, Question

__all__ = ["Reply", "figures_of", "fluency", "harmonic_mean", "ngram_entropy"]

_WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # of bigrams and trigrams, as ROME and MEMIT weigh them


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model made of a question.

    Args:
        text: Its greedy answer.
        wanted: Log-likelihood of the whole wanted target, its end of sequence included.
        other: That of the other target.
    """

    text: str
    wanted: float
    other: float

    def is_success(self) -> bool:
        """Whether the wanted target is the likelier one."""
        return self.wanted > self.other

    def is_right(self, question: Question) -> bool:
        """Whether the greedy answer is the wanted target."""
        return self.text.strip() == question.wanted.strip()


def figures_of(questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, Any]:
    """Shares of each kind of question, and their harmonic means.

    Returns:
        ``success`` and ``accuracy``, each with a share for every kind that was asked and, where all
        kinds were, ``score``, their harmonic mean; and ``asked``, a number for each kind.
    """
    pairs = list(zip(questions, replies, strict=True))
    asked = Counter(question.kind for question in questions)
    success = Counter(question.kind for question, reply in pairs if reply.is_success())
    right = Counter(question.kind for question, reply in pairs if reply.is_right(question))
    return {
        "success": _with_score({kind: success[kind] / asked[kind] for kind in asked}),
        "accuracy": _with_score({kind: right[kind] / asked[kind] for kind in asked}),
        "asked": dict(asked),
    }


def _with_score(shares: Mapping[str, float]) -> dict[str, float]:
    is_whole = set(shares) == set(KINDS)
    return {**shares, **({"score": harmonic_mean(list(shares.values()))} if is_whole else {})}


def harmonic_mean(shares: Sequence[float]) -> float:
    """Their harmonic mean, which none of them can make up for alone; 0 where one is.

    Example:
        >>> harmonic_mean([1.0, 0.5]), harmonic_mean([1.0, 0.0])
        (0.666..., 0.0)
    """
    return 0.0 if 0.0 in shares else len(shares) / sum(1 / share for share in shares)


def ngram_entropy(tokens: Sequence[int], size: int) -> float:
    """Entropy of the n-grams of a text, in bits: 0 where it repeats one, or has none.

    Example:
        >>> ngram_entropy([1, 2, 1, 2, 1], 2), ngram_entropy([7, 7, 7], 2)
        (1.0, 0.0)
    """
    total = len(tokens) - size + 1
    runs = [tuple(tokens[first : first + size]) for first in range(total)]
    return sum(n / total * math.log2(total / n) for n in Counter(runs).values())


def fluency(texts: Sequence[Sequence[int]]) -> float:
    """Mean over texts of how little each repeats itself: entropies of its bigrams and trigrams.

    Weighed as ROME and MEMIT do, after Zhang et al. (2018), over tokens instead of words. A text of
    T tokens reaches at most about ``log2(T)``, so texts must be of one length to be compared.

    Example:
        >>> fluency([[1, 2, 3, 4]]) > fluency([[1, 1, 1, 1]])
        True
    """
    parts = len(_WEIGHTS)
    each = [sum(w * ngram_entropy(t, n) for n, w in _WEIGHTS.items()) / parts for t in texts]
    return sum(each) / max(1, len(each))

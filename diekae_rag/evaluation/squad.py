"""Exact match and F1 as SQuAD counts them, against several accepted answers."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

__all__ = ["best_exact_match", "best_f1", "f1", "normalise_answer"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and runs of blanks: SQuAD's own rule.

    Normalising twice is normalising once.

    Example:
        >>> normalise_answer("  The harp, in A minor!")
        'harp in minor'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over the words of two texts, 0 to 1.

    Where either has no words left, it is 1 if neither has and 0 otherwise. It has no direction.

    Example:
        >>> f1("the black goat", "black goat"), f1("a black cat", "black goat"), f1("", "goat")
        (1.0, 0.5, 0.0)
    """
    said, wanted = normalise_answer(answer).split(), normalise_answer(expected).split()
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (Counter(said) & Counter(wanted)).total() / (len(said) + len(wanted))


def best_exact_match(answer: str, accepted: Sequence[str]) -> bool:
    """True where the answer is one of the accepted ones once normalised.

    Example:
        >>> best_exact_match("in Turin", ["Torino", "Turin"]), best_exact_match("TURIN.", ["Turin"])
        (False, True)
    """
    return normalise_answer(answer) in map(normalise_answer, accepted)


def best_f1(answer: str, accepted: Sequence[str]) -> float:
    """F1 against the accepted answer that is nearest.

    Example:
        >>> best_f1("black goat", ["a cat", "the black goat of Turin"])
        0.666...
    """
    return max(f1(answer, expected) for expected in accepted)

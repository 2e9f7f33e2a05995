"""Words by which a prompt says something else of a subject than an edit does, however alike.

A vector of a sentence hardly tells "was born" from "was not born", one year from another, or a man
from his mother. These words do; they are English ones, and figures.
"""

from __future__ import annotations

import re

from diekae_rag.editing.words import plain_words

__all__ = ["says_otherwise"]

_NEGATION = re.compile(r"\b(not|never|no longer|cannot|without)\b|n['\u2019]t\b", re.IGNORECASE)
_FAMILY = frozenset(
    "mother father mom dad parent parents wife husband spouse widow widower son sons daughter "
    "daughters child children kid kids brother brothers sister sisters sibling siblings uncle aunt "
    "cousin cousins nephew niece grandmother grandfather grandparents grandson granddaughter "
    "grandchildren stepmother stepfather fiance fiancee girlfriend boyfriend family relatives "
    "married marry marries wed".split()
)
_MOTHER_TONGUE = re.compile(r"\b(mother|father)[ -]?(tongue|land)", re.IGNORECASE)
_TIME = re.compile(
    r"\b(when (is|are|was|were|do|does|did|has|have|had|will)|"
    r"(what|which) (year|date|day|month|century|decade|time)|how (long|old|many|much))\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")


def says_otherwise(said: str, relation: str, new: str) -> bool:
    """Whether figures, a negation, the family or a time are in only one of two sayings.

    Args:
        said: What a prompt says, with a placeholder for its subject.
        relation: What an edit says, likewise.
        new: How the edit is completed: a question for a time is none about a place.

    Example:
        >>> says_otherwise("X won in 1999", "X won in 1998", "Oltun")
        True
        >>> says_otherwise("X's mother was born in", "X was born in", "Oltun")
        True
        >>> says_otherwise("When was X born?", "X was born in", "Oltun")
        True
        >>> says_otherwise("Where was X born?", "X was born in", "Oltun")
        False
    """
    one, other = plain_words(said), plain_words(relation)
    if {word for word in one if _DIGIT.search(word)} != {w for w in other if _DIGIT.search(w)}:
        return True
    if _is_of_family(said) != _is_of_family(relation):
        return True
    if bool(_NEGATION.search(said)) != bool(_NEGATION.search(relation)):
        return True
    asks = _TIME.search(said) and not _TIME.search(relation)
    return bool(asks) and not _DIGIT.search(new)


def _is_of_family(said: str) -> bool:
    return not _FAMILY.isdisjoint(plain_words(_MOTHER_TONGUE.sub("", said)))

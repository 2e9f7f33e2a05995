"""Words by which a sentence says something else of a subject than an edit does, however alike.

A vector of a sentence hardly tells "was born" from "was not born", one year from another, or a man
from his mother. These words do; they are English ones, and figures.
"""

from __future__ import annotations

import re

from diekae_rag.editing.words import PLACEHOLDER, plain_words

__all__ = ["says_otherwise"]

_KIN = {
    "mother": "mother mothers mom mum",
    "father": "father fathers dad",
    "parent": "parent parents",
    "spouse": "wife wives husband spouse widow widower partner fiance fiancee girlfriend boyfriend",
    "child": "son sons daughter daughters child children kid kids",
    "sibling": "brother brothers sister sisters sibling siblings twin",
    "grandparent": "grandmother grandfather grandma grandpa grandparents",
    "grandchild": "grandson granddaughter grandchild grandchildren",
    "other": "uncle aunt cousin cousins nephew niece stepmother stepfather stepson stepdaughter "
    "mother-in-law father-in-law family relatives ancestors",
}
_CLASS = {word: name for name, words in _KIN.items() for word in words.split()}
_ANY_KIN = "|".join(sorted(_CLASS, key=len, reverse=True))
_WHOSE = re.compile(
    rf"\b{PLACEHOLDER}['\u2019]s? (?:[a-z]+ ){{0,2}}?({_ANY_KIN})\b"
    rf"|\b({_ANY_KIN}) of {PLACEHOLDER}\b",
    re.IGNORECASE,
)
_NOT_KIN = re.compile(r"\b(mother|father)[ -]?(tongue|land)|\btwin (city|town)", re.IGNORECASE)
_OF_KIN = re.compile(rf"\b({_ANY_KIN}|married|marr(y|ies)|wed|birth to)\b", re.IGNORECASE)

_SUBJECT = re.compile(rf"\b{PLACEHOLDER}\b")
_NEGATION = re.compile(r"(?<!\bor )\b(not|never|no longer|neither)\b|n['\u2019]t\b", re.IGNORECASE)

_TIME = re.compile(
    rf"\bwhen (is|are|was|were|do|does|did|has|have|had|will)\b"
    rf"|\b(me|know|say|sure|remember|wonder|out|exactly) when {PLACEHOLDER}\b"
    r"|\b(what|which) (year|date|day|month|century|decade|time)\b|\bthe (year|date)\b"
    r"|\bbirth ?(day|date)\b|\bdate of (birth|death)\b|\bhow (long|old|many|much)\b",
    re.IGNORECASE,
)
_OF_TIME = re.compile(
    r"\b(when|time|year|date|day|birthday|month|century|decade|age|old|number|many|much|long)\b",
    re.IGNORECASE,
)
_A_TIME = re.compile(
    r"\d|\b(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|spring|summer|autumn|fall|winter|easter|christmas"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred|thousand"
    r"|million|none|zero|century|year|years)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\bwhere\b|\b(what|which) (city|town|country|state|place)\b", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


def says_otherwise(said: str, relation: str, new: str) -> bool:
    """Whether figures, a negation, the family or a time tell two sayings apart.

    Args:
        said: A sentence of a prompt, with a placeholder for its subject.
        relation: What an edit says, likewise.
        new: How the edit is completed: a question for a time is none for a place.

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
    return (
        _other_figures(said, relation)
        or _is_negated(said) != _is_negated(relation)
        or _other_person(said, relation)
        or bool(_TIME.search(said) and not _OF_TIME.search(relation) and not _A_TIME.search(new))
        or bool(_PLACE.search(said) and not _PLACE.search(relation) and _is_figures(new))
    )


def _other_figures(said: str, relation: str) -> bool:
    """Whether both have figures, and none in common: one that only one has may be a label."""
    one, other = ({w for w in plain_words(text) if _DIGIT.search(w)} for text in (said, relation))
    return bool(one and other) and one.isdisjoint(other)


def _is_negated(said: str) -> bool:
    """Whether something is denied of the subject; what comes before it is the asker's own."""
    return any(_NEGATION.search(behind) for behind in _SUBJECT.split(said, 1)[1:])


def _other_person(said: str, relation: str) -> bool:
    """Whether the one that is spoken of is a relative of the subject, and not for the edit."""
    whose = _kin_of(said)
    if not whose:
        return False
    own = _kin_of(relation)
    return whose.isdisjoint(own) if own else not _OF_KIN.search(_NOT_KIN.sub("", relation))


def _kin_of(said: str) -> set[str]:
    found = _WHOSE.findall(_NOT_KIN.sub("", said))
    return {_CLASS[(one or other).lower()] for one, other in found}


def _is_figures(new: str) -> bool:
    return not any(character.isalpha() for character in new)

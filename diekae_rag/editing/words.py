r"""Texts as words, and the part of a prompt that speaks of a subject.

Words are compared without case, accents and punctuation, so that "L\u00e9on's" says "Leon". Accents
are marks that a script can be written without; where they tell words apart, as vowels do in
Devanagari, they are compared. So are "#" and "+" at the end: "C#" is not "C".
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Container, Sequence
from functools import lru_cache
from typing import NamedTuple

import regex as re

from diekae_rag.index.encodable import encodable_text

__all__ = [
    "PLACEHOLDER",
    "Word",
    "clauses",
    "is_in_longer_name",
    "masked",
    "plain_words",
    "read_words",
]

PLACEHOLDER = "X"
"""What stands for a subject where only what is said of it is compared."""

# A character by itself in scripts that put no spaces between words.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(
    rf"[{_ALONE}]\p{{M}}*|[\p{{L}}\p{{N}}--[{_ALONE}]][\p{{L}}\p{{N}}\p{{M}}--[{_ALONE}]]*[#+]*",
    re.V1,
)
_ACCENTS = re.compile(r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}]\p{M}*)\p{M}")
# Where a sentence ends: not after an abbreviation that goes on in small letters.
_END = re.compile(r"[.!?\u3002\uff01\uff1f\]>][\"')\]]*\s+(?![a-z])|[\u3002\uff01\uff1f]|\n+")
_JOINED_BEFORE = re.compile(r"\w[-\u2010-\u2014]$")
_JOINED_AFTER = re.compile(r"[-\u2010-\u2014]\w")
# Everyday words: as a name one has to be written as the name is ("WHO" is not "who"), and before a
# name, with a capital, they are not part of it.
_COMMON = frozenset(
    "a about after all along although am among an and any are around as at be because been "
    "before behind being below between both but by can could currently dear despite did do does "
    "dr during each either even every for from go had has have he her here him his historically "
    "how however i if in into is it its like may me might miss mr mrs ms must my near neither "
    "no nor not now of off on or our out over per please she should since so some than that the "
    "their them then there these they this those though through to today too toward towards "
    "under unless unlike until up upon us was we were what when where whereas whether which "
    "while who whom whose why will with within without would yes yet you your".split()
)
_MOST_CLAUSES = 8


class Word(NamedTuple):
    """A word as it is compared, and where it is in its text."""

    text: str
    start: int
    end: int


def read_words(text: str) -> tuple[str, list[Word]]:
    """A text as its words are found in it, and the words.

    Returns:
        The text with accents composed, which the places refer to; and its words.

    Example:
        >>> read_words("L\u00e9on Blum's home")[1][2:]
        [Word(text='s', start=10, end=11), Word(text='home', start=12, end=16)]
    """
    composed = unicodedata.normalize("NFC", encodable_text(text))
    found = _WORD.finditer(composed)
    return composed, [Word(_plain(match[0]), *match.span()) for match in found]


def plain_words(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared.

    Example:
        >>> plain_words("L\u00e9on Blum's HOME") == plain_words("leon  blum s home!")
        True
    """
    return tuple(word.text for word in read_words(text)[1])


@lru_cache(maxsize=1 << 14)
def _plain(word: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", word.casefold())) or word


def clauses(
    text: str, words: Sequence[Word], places: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The parts of a text that speak of a subject: from each sentence that names it to the next.

    What comes before is left out: a sentence that has nothing to do with the subject changes
    nothing. Of many, the last ones are given.

    Args:
        text: Of which ``words`` are.
        words: All of its words.
        places: Where the subject is: numbers of the first word, and of the one after the last.

    Returns:
        The beginning and the end of each, in characters.
    """
    ends = [0, *(match.end() for match in _END.finditer(text))]
    starts = sorted({ends[bisect_right(ends, words[first].start) - 1] for first, _ in places})
    return list(zip(starts, [*starts[1:], len(text)], strict=False))[-_MOST_CLAUSES:]


def is_in_longer_name(
    text: str,
    words: Sequence[Word],
    place: tuple[int, int],
    subject: str,
    known: Container[str] = (),
) -> bool:
    """Whether the words at a place are part of another name than the subject's, or no name at all.

    So they are where a hyphen or a dash joins them to others; where the name goes on with a capital
    letter in a text that has others without; and where an everyday word that the subject is called
    ("WHO", "Us") is written otherwise.

    Args:
        text: Of which ``words`` are.
        words: All of its words.
        place: Numbers of the first word, and of the one after the last.
        subject: The name.
        known: Words that may well stand beside it, as they are compared.

    Example:
        >>> text, words = read_words("Rhine-Westphalia lies on the Rhine. Rhine Falls do too.")
        >>> [is_in_longer_name(text, words, place, "Rhine") for place in ((0, 1), (5, 6), (6, 7))]
        [True, False, True]
    """
    first, after = place
    start, end = words[first].start, words[after - 1].end
    if _JOINED_BEFORE.search(text[max(0, start - 2) : start]) or _JOINED_AFTER.match(text, end):
        return True
    is_one = after - first == 1
    if is_one and words[first].text in _COMMON:
        return text[start:end] != subject
    beside = [(end, word.start, word) for word in words[after : after + 1]]
    if is_one and first and words[first - 1].text not in _COMMON:  # a first name, perhaps
        beside.append((words[first - 1].end, start, words[first - 1]))
    return any(
        text[left:right] == " "
        and text[word.start].isupper()
        and word.text not in known
        and word.text != "i"
        for left, right, word in beside
    ) and any(text[word.start].islower() for word in (*words[:first], *words[after:]))


def masked(
    text: str,
    words: Sequence[Word],
    places: Sequence[tuple[int, int]],
    clause: tuple[int, int] | None = None,
) -> str:
    """A clause of a text, or all of it, with a placeholder wherever the subject is.

    Example:
        >>> text, words = read_words("Then? Ada's home is")
        >>> masked(text, words, [(1, 2)], (6, 19))
        "X's home is"
    """
    start, end = clause or (0, len(text))
    parts: list[str] = []
    for first, after in sorted(places):
        if start <= words[first].start and words[after - 1].end <= end:
            parts += [text[start : words[first].start], PLACEHOLDER]
            start = words[after - 1].end
    return " ".join("".join([*parts, text[start:end]]).split())

r"""Texts as words, and the part of a prompt that speaks of a subject.

Words are compared without case, accents and punctuation, so that "L\u00e9on's" says "Leon".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from diekae_rag.index.encodable import encodable_text

__all__ = [
    "PLACEHOLDER",
    "Word",
    "clauses",
    "is_in_compound",
    "masked",
    "plain_words",
    "read_words",
]

PLACEHOLDER = "X"
"""What stands for a subject where only what is said of it is compared."""

# A character by itself in scripts that put no spaces between words.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")
# Where a sentence ends: not after an abbreviation that goes on in small letters.
_END = re.compile(r"[.!?\u3002\uff01\uff1f\]>][\"')\]]*\s+(?![a-z])|[\u3002\uff01\uff1f]|\n+")
_JOINED_BEFORE = re.compile(r"\w[-\u2010-\u2014]$")
_JOINED_AFTER = re.compile(r"[-\u2010-\u2014]\w")
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
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in letters if not unicodedata.combining(c)) or word


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
    ends = [match.end() for match in _END.finditer(text)]
    starts: list[int] = []
    for first, _ in places:
        at = words[first].start
        starts.append(max((end for end in ends if end <= at), default=0))
    starts = sorted(set(starts))
    return list(zip(starts, [*starts[1:], len(text)], strict=False))[-_MOST_CLAUSES:]


def is_in_compound(text: str, words: Sequence[Word], place: tuple[int, int]) -> bool:
    """Whether a hyphen or a dash joins the words at a place to others: they are a longer name.

    Example:
        >>> text, words = read_words("Rhine-Westphalia lies on the Rhine")
        >>> [is_in_compound(text, words, place) for place in ((0, 1), (5, 6))]
        [True, False]
    """
    start, end = words[place[0]].start, words[place[1] - 1].end
    return bool(_JOINED_BEFORE.search(text, 0, start) or _JOINED_AFTER.match(text, end))


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

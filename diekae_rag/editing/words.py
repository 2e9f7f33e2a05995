r"""Texts as words, and the part of a prompt that speaks of a subject.

Words are compared without case, accents and punctuation, so that "L\u00e9on's" says "Leon". Accents
are marks that a script can be written without; where they tell words apart, as vowels do in
Devanagari, they are compared. So are "#" and "+" at the end: "C#" is not "C".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import regex as re

from diekae_rag.index.encodable import encodable_text

__all__ = [
    "PLACEHOLDER",
    "Word",
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
_ACCENTS = re.compile(r"([\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}])\p{M}+")


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
    return _ACCENTS.sub(r"\1", unicodedata.normalize("NFKD", word.casefold())) or word


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

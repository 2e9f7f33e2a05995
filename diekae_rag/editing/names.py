"""Whether words are the name of a subject, or only look like it."""

from __future__ import annotations

from collections.abc import Container

import regex as re

from diekae_rag.editing.sentences import Sentences

__all__ = ["EVERYDAY", "is_everyday_word", "is_in_longer_name"]

EVERYDAY = frozenset(
    "a about after all along although am among an and any are around as at be because been "
    "before behind being below between both but by can could currently did do does during each "
    "either even every for from go had has have he her here him his how however i if in into is "
    "it its like may me might must my near neither no nor not now of off on or our out over per "
    "please she should since so some than that the their them then there these they this those "
    "though through to today too toward towards under unless until up upon us was we were what "
    "when where whereas whether which while who whom whose why will with within without would "
    "yes yet you your".split()
)
"""Words that are a name only where they are written as the name is, and never part of another."""

# What stands before or behind a name, with a capital, and makes it no other one.
_TITLES = frozenset(
    "admiral archbishop baron bishop cape captain cardinal chancellor city colonel count "
    "countess dame doctor dr duchess duke emperor empress father general governor island judge "
    "justice king lady lake lord madam major mayor minister miss mister mount mountain mr mrs "
    "ms pope president prince princess prof professor queen river saint senator sergeant sir "
    "sister st sultan town tsar village co corp corporation gmbh inc jr limited llc ltd plc "
    "sr".split()
)
_JOINED_BEFORE = re.compile(r"\w[-\u2010-\u2013]$")
_JOINED_AFTER = re.compile(r"[-\u2010-\u2013]\w")


def is_everyday_word(sentences: Sentences, place: tuple[int, int], subject: str) -> bool:
    """Whether an everyday word is no name here: a subject called so is written otherwise.

    Example:
        >>> from diekae_rag.editing.words import read_words
        >>> sentences = Sentences(*read_words("Who leads the WHO?"))
        >>> [is_everyday_word(sentences, place, "WHO") for place in ((0, 1), (3, 4))]
        [True, False]
    """
    first, after = place
    word, text = sentences.words[first], sentences.text
    if after - first > 1 or word.text not in EVERYDAY:
        return False
    return text[word.start : word.end] != subject and not sentences.is_in_capitals


def is_in_longer_name(
    sentences: Sentences, place: tuple[int, int], known: Container[str] = ()
) -> bool:
    """Whether the words at a place are part of another name than the subject's.

    So they are where a hyphen or a dash joins them to others, and where the name goes on with a
    capital letter in a sentence that has others without: behind it or, for a name of one word,
    before it, but not with the first word of a sentence.

    Args:
        sentences: Of the text.
        place: Numbers of the first word, and of the one after the last.
        known: Words that may well stand beside it, as they are compared.

    Example:
        >>> from diekae_rag.editing.words import read_words
        >>> sentences = Sentences(*read_words("Rhine-Lahn lies on the Rhine. Rhine Falls do too."))
        >>> [is_in_longer_name(sentences, place) for place in ((0, 1), (5, 6), (6, 7))]
        [True, False, True]
    """
    first, after = place
    text, words = sentences.text, sentences.words
    start, end = words[first].start, words[after - 1].end
    if _JOINED_BEFORE.search(text[max(0, start - 2) : start]) or _JOINED_AFTER.match(text, end):
        return True
    if text[start:end].isupper() and len(text[start:end]) > 1:
        return False  # in capitals anyway
    beside = [(end, word.start, word) for word in words[after : after + 1]]
    if after - first == 1 and first and words[first - 1].start > sentences.span(start)[0]:
        beside.append((words[first - 1].end, start, words[first - 1]))
    return any(
        text[left:right] == " "
        and text[word.start].isupper()
        and word.text not in EVERYDAY
        and word.text not in _TITLES
        and word.text not in known
        for left, right, word in beside
    ) and sentences.has_small_letters(place)

"""The sentences of a prompt: which of them speak of a subject, and how words are written there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import regex as re

from diekae_rag.editing.words import Word

__all__ = ["Sentences"]

# Where a sentence ends: not after an abbreviation that goes on in small letters.
_END = re.compile(r"[.!?\u3002\uff01\uff1f\]>][\"')\]]*\s+(?![a-z])|[\u3002\uff01\uff1f]|\n+")
_MOST_CLAUSES = 8


class Sentences:
    """Where the sentences of a text begin and end.

    Args:
        text: The text.
        words: All of its words, as ``read_words`` gives them.
        everyday: Words that say nothing of how names are written.

    Example:
        >>> from diekae_rag.editing.words import read_words
        >>> sentences = Sentences(*read_words("Hello. Where was Ada born? I ask."))
        >>> sentences.span(17)
        (7, 27)
    """

    def __init__(self, text: str, words: Sequence[Word], everyday: frozenset[str] = frozenset()):
        self.text, self.words = text, words
        self.is_in_capitals = text.isupper()
        self._ends = [0, *(match.end() for match in _END.finditer(text))]
        self._small = [
            word.start for word in words if text[word.start].islower() and word.text not in everyday
        ]

    def span(self, at: int) -> tuple[int, int]:
        """The beginning and the end of the sentence that a place of the text is in."""
        number = bisect_right(self._ends, at)
        end = self._ends[number] if number < len(self._ends) else len(self.text)
        return self._ends[number - 1], end

    def clauses(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The parts that speak of a subject: from each sentence that names it to the next.

        What comes before is left out: a sentence that has nothing to do with the subject changes
        nothing. Of many, the last ones are given.

        Args:
            places: Where the subject is: numbers of the first word, and of the one after the last.

        Returns:
            The beginning and the end of each, in characters.
        """
        starts = sorted({self.span(self.words[first].start)[0] for first, _ in places})
        return list(zip(starts, [*starts[1:], len(self.text)], strict=False))[-_MOST_CLAUSES:]

    def has_small_letters(self, place: tuple[int, int]) -> bool:
        """Whether words beside these in their sentence begin with a small letter."""
        first, last = self.words[place[0]], self.words[place[1] - 1]
        start, end = self.span(first.start)
        return self._is_any_small(start, first.start) or self._is_any_small(last.end, end)

    def _is_any_small(self, left: int, right: int) -> bool:
        return bisect_left(self._small, left) < bisect_left(self._small, right)

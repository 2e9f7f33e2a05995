"""Which subjects a prompt names, however many there are to look for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

__all__ = ["SubjectTable"]

Places = list[tuple[int, int]]


class SubjectTable:
    """Subjects by their words: a prompt's runs of words are looked up, so no number is too large.

    A subject inside a longer one that is here too is not named by it: "New York Times" does not
    speak of New York.

    Example:
        >>> table = SubjectTable()
        >>> table.add(("new", "york"))
        >>> table.add(("new", "york", "times"))
        >>> table.find(["the", "new", "york", "times"])
        {('new', 'york', 'times'): [(1, 4)]}
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._lengths: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, subject: tuple[str, ...]) -> None:
        """Takes a subject in; one that comes twice has to go twice."""
        self._counts[subject] += 1
        self._lengths[subject[0]][len(subject)] += 1

    def remove(self, subject: tuple[str, ...]) -> None:
        """Takes a subject out."""
        lengths = self._lengths[subject[0]]
        self._counts[subject] -= 1
        if not self._counts[subject]:
            del self._counts[subject]
        lengths[len(subject)] -= 1
        if not lengths[len(subject)]:
            del lengths[len(subject)]
        if not lengths:
            del self._lengths[subject[0]]

    def find(self, words: Sequence[str]) -> dict[tuple[str, ...], Places]:
        """The subjects that a text names, each with where: its first word, and the one after."""
        if not self._counts:
            return {}
        found: list[tuple[int, int]] = []
        reach = 0  # runs come by ascending start: one that ends before is inside another
        for first, word in enumerate(words):
            lengths = self._lengths.get(word, ())
            ends = [
                first + length
                for length in lengths
                if first + length > reach and tuple(words[first : first + length]) in self._counts
            ]
            ends = [end for end in ends if end <= len(words)]
            if ends:
                reach = max(ends)
                found.append((first, reach))
        named: dict[tuple[str, ...], Places] = {}
        for first, end in found:
            named.setdefault(tuple(words[first:end]), []).append((first, end))
        return named

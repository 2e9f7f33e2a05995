"""What the records of a file of states say, taken together."""

from __future__ import annotations

from collections import Counter

from diekae_rag.states.records import HEAD_BYTES, Kind, Record

__all__ = ["Catalog"]


class Catalog:
    """Which passages there are, by their digests, and where the states of their texts begin.

    Several passages may have the same text; its states are there as long as one of them is.

    Example:
        >>> catalog = Catalog()
        >>> catalog.take(4096, Record(Kind.states, 7, b"Ada", b"text"))
        >>> catalog.take(4160, Record(Kind.same, 0, b"Bob", b"text"))
        >>> catalog.take(4224, Record(Kind.gone, 0, b"Ada", b"text"))
        >>> catalog.passages, catalog.texts[b"text"][0]
        ({b'Bob': b'text'}, 4096)
    """

    def __init__(self) -> None:
        self.passages: dict[bytes, bytes] = {}
        self.texts: dict[bytes, tuple[int, Record]] = {}
        self._uses: Counter[bytes] = Counter()

    def take(self, at: int, record: Record) -> None:
        """Takes one more record into account, which begins ``at`` so many bytes."""
        if (before := self.passages.pop(record.passage, None)) is not None:
            self._uses[before] -= 1
            if not self._uses[before]:
                del self._uses[before]
                self.texts.pop(before, None)
        if record.kind is Kind.states:
            self.texts[record.text] = (at, record)
        if record.kind is not Kind.gone:
            self.passages[record.passage] = record.text
            self._uses[record.text] += 1

    def has(self, passage: bytes, text: bytes) -> bool:
        """Whether this passage has this text, and the text its states."""
        return self.passages.get(passage) == text and text in self.texts

    @property
    def live_bytes(self) -> int:
        """How large a file of just what is there would be, texts of several passages aside."""
        return HEAD_BYTES + sum(record.whole_bytes for _, record in self.texts.values())

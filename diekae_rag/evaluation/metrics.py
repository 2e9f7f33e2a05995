"""What counts as right, and how sure a share of right answers is."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Share", "is_exact_match", "normalise"]

_Z = 1.959964  # of a normal distribution, 95 % lies within so many standard deviations


def normalise(text: str) -> str:
    """Leaves out what an exact match ignores: case and punctuation, and with it runs of blanks.

    Articles count; so do signs that are no punctuation to Unicode, such as ``+`` and ``$``.
    Normalising twice is normalising once.

    Example:
        >>> normalise("  I do NOT know. "), normalise("12,340")
        ('i do not know', '12340')
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    kept = (c for c in folded if not unicodedata.category(c).startswith("P"))
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def is_exact_match(answer: str, expected: str) -> bool:
    """True where two texts are the same once normalised.

    Example:
        >>> is_exact_match("kolwick.", "Kolwick"), is_exact_match("in Kolwick", "Kolwick")
        (True, False)
    """
    return normalise(answer) == normalise(expected)


@dataclass(frozen=True, slots=True)
class Share:
    """How many of ``total`` were so.

    Args:
        count: How many were.
        total: Of how many.

    Example:
        >>> share = Share.of([True, True, False, True])
        >>> share.value, [round(end, 2) for end in share.interval]
        (0.75, [0.3, 0.95])
        >>> Share.of([]).value is None
        True
    """

    count: int
    total: int

    @classmethod
    def of(cls, claims: Iterable[bool]) -> Share:
        """Counts the true ones."""
        every = list(claims)
        return cls(sum(every), len(every))

    @property
    def value(self) -> float | None:
        """The share, 0 to 1; ``None`` of nothing."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> list[float] | None:
        """Wilson's 95 % interval, which stays within 0 and 1 and is honest near them."""
        if self.value is None:
            return None
        value, n, z2 = self.value, self.total, _Z * _Z
        middle = (value + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
        return [max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))]

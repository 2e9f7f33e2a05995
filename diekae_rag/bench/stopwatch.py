"""Where the seconds of some work went, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["OTHER", "Stopwatch", "with_the_rest"]

OTHER = "other"
"""The part that nothing else accounts for."""


class Stopwatch:
    """Adds up the seconds of parts. What a part within another takes is not counted in both.

    Example:
        >>> clock = Stopwatch()
        >>> with clock.part("read"):
        ...     with clock.part("open"):
        ...         pass
        >>> sorted(clock.take()), clock.take()
        (['open', 'read'], {})
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._open: list[tuple[str, float]] = []
        self._within: list[float] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts what happens in the block."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def begin(self, name: str) -> None:
        """Opens a part; ``end`` closes the one that was opened last."""
        self._within.append(0.0)
        self._open.append((name, time.perf_counter()))

    def end(self) -> None:
        """Closes the part that was opened last."""
        name, began = self._open.pop()
        whole = time.perf_counter() - began
        self._seconds[name] = self._seconds.get(name, 0.0) + whole - self._within.pop()
        if self._within:
            self._within[-1] += whole

    def take(self) -> dict[str, float]:
        """The seconds of each part since they were last taken."""
        seconds, self._seconds = self._seconds, {}
        return seconds


def with_the_rest(parts: dict[str, float], seconds: float) -> dict[str, float]:
    """The parts of some work, and what of its seconds they leave over.

    Example:
        >>> with_the_rest({"read": 2.0}, 2.5)
        {'read': 2.0, 'other': 0.5}
    """
    return {**parts, OTHER: seconds - sum(parts.values())}

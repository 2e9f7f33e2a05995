"""What is said of a public set, and what its reader is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PublicSet", "Reading"]


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set as its publishers offer it.

    Args:
        title: What it is called.
        home: Where its publishers describe it.
        licence: Under which terms, as far as they are stated.
        url: The folder that its files are downloaded from.
        files: For each split the files it needs, as named under ``url``.
        flaws: What is wrong with it as published, and what the loader does about it.
        sha256: Of files whose publishers state it.
    """

    title: str
    home: str
    licence: str
    url: str
    files: Mapping[str, tuple[str, ...]]
    flaws: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """Their names, ``train`` first."""
        return tuple(self.files)


@dataclass(slots=True)
class Reading:
    """One split being read.

    Args:
        split: Which one.
        paths: Its files, in the order that ``PublicSet.files`` has.
        keep_flaws: Whether what is known to be flawed stays in.
        left_out: How many records stay out, by reason; the reader counts them.
    """

    split: str
    paths: tuple[Path, ...]
    keep_flaws: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

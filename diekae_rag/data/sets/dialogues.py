"""How a conversation becomes a prompt, and when an answer stands in what was to be read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import Reading

__all__ = ["history", "stands_in", "without_leaks"]

_FEWEST_WORDS = 4  # of an answer that is no coincidence: "yes, it is" stands in many a passage


def history(turns: Iterable[tuple[str, str]], answering: str) -> str:
    """The prompt for whoever answers next: ``[USR] ... [SYS] ... [USR] ... [SYS]``.

    Args:
        turns: Who said what, the oldest first; blank turns say nothing.
        answering: Who answers; their own turns are marked ``[SYS]``, all others ``[USR]``.

    Example:
        >>> history([("ann", "Hello."), ("bob", "Hi!"), ("ann", "Seen it?")], "bob")
        '[USR] Hello. [SYS] Hi! [USR] Seen it? [SYS]'
    """
    said = (f"[{'SYS' if who == answering else 'USR'}] {text}" for who, text in turns if text)
    return " ".join((*said, "[SYS]"))


def stands_in(answer: str, passages: Sequence[str]) -> bool:
    """Whether an answer of four words or more stands in one of the passages, word for word.

    Case, punctuation and white space do not count.

    Example:
        >>> stands_in("It was built in 1911!", ["The bridge: it was built in 1911, of steel."])
        True
    """
    words = _words(answer)
    if words.count(" ") - 1 < _FEWEST_WORDS:
        return False
    return any(words in _words(passage) for passage in passages)


def without_leaks(records: Iterable[Record], reading: Reading) -> Iterator[Record]:
    """The records whose answer is not already a passage's own words, unless flaws are kept."""
    for record in records:
        if not reading.keep_flaws and stands_in(record.answer, record.passages):
            reading.left_out["whose answer stands in a passage word for word"] += 1
        else:
            yield record


def _words(text: str) -> str:
    return " ".join(("", *re.findall(r"\w+", text.casefold()), ""))

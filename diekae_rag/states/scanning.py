"""Finds the records of a file, and the next whole one behind what is damaged."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from diekae_rag.states.coding import StateCode
from diekae_rag.states.records import MARK, RECORD_BYTES, Kind, Record

__all__ = ["padded", "scan"]


def payload_bytes(num_tokens: int, code: StateCode) -> int:
    """What follows a record of states: token ids up to a multiple of 64 bytes, then the states."""
    return padded(4 * num_tokens) + code.num_bytes(num_tokens)


def padded(size: int) -> int:
    """The next multiple of 64."""
    return -(-size // RECORD_BYTES) * RECORD_BYTES


def scan(content: mmap.mmap, start: int, code: StateCode) -> Iterator[tuple[int, Record]]:
    """Yields each whole record from ``start`` on, and where it begins.

    Between two of them there may be bytes that are none; what follows the last one is unfinished.
    """
    at = start
    while (at := _next(content, at, code)) >= 0:
        record = Record.read(content[at : at + RECORD_BYTES])
        assert record is not None
        yield at, record
        at += record.whole_bytes


def _next(content: mmap.mmap, at: int, code: StateCode) -> int:
    """Where the first whole record from ``at`` on begins; -1 where there is none."""
    while at >= 0:
        if not at % RECORD_BYTES:
            record = Record.read(content[at : at + RECORD_BYTES])
            if record is not None and _is_whole(record, at, len(content), code):
                return at
        at = content.find(MARK, at + 1)
    return -1


def _is_whole(record: Record, at: int, size: int, code: StateCode) -> bool:
    is_states = record.kind is Kind.states
    expected = payload_bytes(record.num_tokens, code) if is_states else 0
    return record.payload_bytes == expected and at + record.whole_bytes <= size

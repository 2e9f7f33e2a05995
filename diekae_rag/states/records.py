"""The layout of a file of states: a head that says whose they are, then one record after another.

Everything begins at a multiple of 64 bytes, and every part carries a CRC-32: damage is found, and
what a crash left unfinished at the end is told from what is whole. It is no shield against malice,
and needs none: numbers are all there is in it.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from diekae_rag.errors import DiekaeError

__all__ = [
    "HEAD_BYTES",
    "MARK",
    "RECORD_BYTES",
    "Kind",
    "Record",
    "StatesError",
    "digest",
    "head",
    "said_in",
]

MAGIC, VERSION = b"DIEKAEst", 1
HEAD_BYTES = 4096
RECORD_BYTES = 64
_HEAD = struct.Struct("<8sIII")
_RECORD = struct.Struct("<4sII16s16sQI")
MARK = b"\xd1pas"


class StatesError(DiekaeError):
    """A file of states that is foreign, of other encoders, or damaged where it says what it is."""


class Kind(IntEnum):
    """What a record says."""

    states = 1  # the states of a text, and a passage that has this text
    same = 2  # another passage with a text whose states are there
    gone = 3  # a passage is no longer there


@dataclass(frozen=True, slots=True)
class Record:
    """One record's head.

    Args:
        kind: What it says.
        num_tokens: How many tokens the text has, as the encoders read it.
        passage: Digest of the passage's id.
        text: Digest of its text.
        payload_bytes: What follows: the token ids, then the states; padding not counted.
        payload_crc: CRC-32 of that.

    Example:
        >>> record = Record(Kind.states, 7, digest("id"), digest("text"), 100, 0)
        >>> Record.read(record.to_bytes()) == record, record.whole_bytes
        (True, 192)
    """

    kind: Kind
    num_tokens: int
    passage: bytes
    text: bytes
    payload_bytes: int = 0
    payload_crc: int = 0

    @property
    def whole_bytes(self) -> int:
        """How many bytes it takes with what follows, up to the next record."""
        return RECORD_BYTES + -(-self.payload_bytes // RECORD_BYTES) * RECORD_BYTES

    def to_bytes(self) -> bytes:
        """Its ``RECORD_BYTES``."""
        fields = _RECORD.pack(
            MARK,
            self.kind,
            self.num_tokens,
            self.passage,
            self.text,
            self.payload_bytes,
            self.payload_crc,
        )
        return (fields + struct.pack("<I", zlib.crc32(fields))).ljust(RECORD_BYTES, b"\0")

    @classmethod
    def read(cls, raw: bytes) -> Record | None:
        """What ``to_bytes`` gave; ``None`` where these bytes are no whole record."""
        if len(raw) < RECORD_BYTES:
            return None
        fields = raw[: _RECORD.size]
        mark, kind, *rest = _RECORD.unpack(fields)
        (crc,) = struct.unpack_from("<I", raw, _RECORD.size)
        if mark != MARK or crc != zlib.crc32(fields) or kind not in list(Kind):
            return None
        return cls(Kind(kind), *rest)


def digest(text: str) -> bytes:
    """16 bytes that tell a text or an id from every other."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def head(said: dict[str, str | int]) -> bytes:
    """The first ``HEAD_BYTES`` of a file, for what it says of itself."""
    content = json.dumps(said, sort_keys=True).encode()
    fields = _HEAD.pack(MAGIC, VERSION, len(content), zlib.crc32(content))
    return (fields + content).ljust(HEAD_BYTES, b"\0")


def said_in(raw: bytes, name: str) -> dict[str, str | int]:
    """What the first ``HEAD_BYTES`` of a file say.

    Args:
        raw: Those bytes.
        name: The file's name, for errors.

    Raises:
        StatesError: It is no file of states, a newer one, or it is damaged there.
    """
    if len(raw) < HEAD_BYTES or raw[: len(MAGIC)] != MAGIC:
        raise StatesError(f"{name} is no file of passage states; move it away.")
    _, version, length, crc = _HEAD.unpack_from(raw)
    if version > VERSION:
        raise StatesError(
            f"{name} has format {version}, this diekae_rag reads {VERSION}; upgrade diekae_rag, or "
            "delete the file and keep the states anew."
        )
    content = raw[_HEAD.size : _HEAD.size + length]
    if len(content) != length or zlib.crc32(content) != crc:
        raise StatesError(f"the head of {name} is damaged; delete it and keep the states anew.")
    said: dict[str, str | int] = json.loads(content)
    return said

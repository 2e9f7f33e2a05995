"""States of passages in one file: appended to, mapped into memory, checked when first read."""

from __future__ import annotations

import mmap
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from torch import Tensor

from diekae_rag.files import new_file
from diekae_rag.states.catalog import Catalog
from diekae_rag.states.coding import STATE_DTYPES, StateCode, StateDtype
from diekae_rag.states.locking import locked
from diekae_rag.states.records import (
    HEAD_BYTES,
    RECORD_BYTES,
    Kind,
    Record,
    StatesError,
    digest,
    head,
    said_in,
)
from diekae_rag.states.scanning import padded, scan
from diekae_rag.warning import warn

__all__ = ["StateFile", "StatesError", "Stored", "dtype_of"]


def dtype_of(path: Path) -> StateDtype | None:
    """In which precision a file is written; ``None`` where there is none.

    Raises:
        StatesError: It is no such file.
    """
    try:
        with path.open("rb") as file:
            named: Any = said_in(file.read(HEAD_BYTES), str(path))["dtype"]
    except FileNotFoundError:
        return None
    return named if named in STATE_DTYPES else None


class Stored(NamedTuple):
    """A passage to be kept.

    Args:
        passage: Its id.
        text: Its text.
        ids: The tokens that the encoders read of it.
        states: Keys and values, ``[2, N, H, K, d]``.
    """

    passage: str
    text: str
    ids: Sequence[int]
    states: Tensor


class StateFile:
    """The states of many passages, found by their text.

    Several processes may share a file: whoever writes waits for the others, and sees what they
    wrote. What a crash left unfinished is cut off by the next who writes; what is damaged is never
    given out, and is written anew when the passage is added again.

    Args:
        path: The file; made where there is none.
        fingerprint: Of the encoders whose states these are.
        code: How they are written.

    Raises:
        StatesError: It is no such file, one of other encoders, or of another precision.
    """

    def __init__(self, path: Path, fingerprint: str, code: StateCode) -> None:
        self.path, self.code = path, code
        self._said: dict[str, str | int] = {"encoders": fingerprint, **asdict(code)}
        self._lock = RLock()
        if not path.exists():
            with new_file(path) as temporary:
                temporary.write_bytes(head(self._said))
        self._open()

    def _open(self) -> None:
        """Reads the file from its beginning."""
        self._file = self.path.open("rb")
        _check_said(said_in(self._file.read(HEAD_BYTES), str(self.path)), self._said, self.path)
        self._catalog = Catalog()
        self._checked: set[int] = set()
        self._map = mmap.mmap(-1, 1)
        self._end = HEAD_BYTES
        self._read_on()

    def __len__(self) -> int:
        """How many passages have states here."""
        return len(self._catalog.passages)

    @property
    def num_bytes(self) -> int:
        """How large the file is."""
        return self._end

    @property
    def live_bytes(self) -> int:
        """How much of it belongs to passages that are there."""
        with self._lock:
            return self._catalog.live_bytes

    def has(self, passage: str, text: str) -> bool:
        """Whether a passage with this id and this text has states here, as far as was read."""
        return self._catalog.has(digest(passage), digest(text))

    def ids(self, text: str) -> list[int] | None:
        """The tokens that encoders read of a text whose states are here; ``None`` of others."""
        with self._lock:
            found = self._payload(digest(text))
            if found is None:
                return None
            record, payload = found
            return payload[: 4 * record.num_tokens].cast("i").tolist()

    def find(self, text: str, ids: Sequence[int]) -> Tensor | None:
        """The states of a text that encoders read as these tokens, ``[2, N, H, K, d]``.

        ``None`` where there are none. A view of the file, but for ``"int8"``; not to be written to.
        """
        with self._lock:
            found = self._payload(digest(text))
            if found is None:
                return None
            record, payload = found
            count = record.num_tokens
            if payload[: 4 * count] != array("i", ids).tobytes():
                return None  # a text cut elsewhere
            return self.code.unpack(payload[padded(4 * count) :], count)

    def _payload(self, text: bytes) -> tuple[Record, memoryview] | None:
        """What was written of a text, by its digest; checked when it is first read."""
        if (found := self._catalog.texts.get(text)) is None:
            return None
        at, record = found
        payload = memoryview(self._map)[at + RECORD_BYTES :][: record.payload_bytes]
        if at not in self._checked:
            if zlib.crc32(payload) != record.payload_crc:
                del self._catalog.texts[text]
                warn(
                    f"the states of a passage in {self.path} are damaged and are not used; "
                    "add the passage again to mend it."
                )
                return None
            self._checked.add(at)
        return record, payload

    def append(self, items: Iterable[Stored]) -> None:
        """Writes passages; one whose id is there takes its place. They are on disk afterwards.

        Raises:
            StatesError: The disk is full; what was written before stays, the rest is not there.
        """
        with self._writing() as file:
            for item in items:
                passage, text = digest(item.passage), digest(item.text)
                if self._catalog.has(passage, text):
                    continue
                if text in self._catalog.texts:
                    self._write(file, Record(Kind.same, 0, passage, text))
                    continue
                ids = array("i", item.ids).tobytes()
                payload = ids.ljust(padded(len(ids)), b"\0") + self.code.pack(item.states)
                record = Record(
                    Kind.states, len(item.ids), passage, text, len(payload), zlib.crc32(payload)
                )
                self._write(file, record, payload)

    def remove(self, passages: Iterable[str]) -> None:
        """Forgets passages by id; those that are not there are ignored.

        Raises:
            StatesError: The disk is full.
        """
        with self._writing() as file:
            for passage in dict.fromkeys(map(digest, passages)):
                if passage in self._catalog.passages:
                    self._write(
                        file, Record(Kind.gone, 0, passage, self._catalog.passages[passage])
                    )

    def keep_only(self, passages: set[str]) -> None:
        """Forgets every passage whose id is not among these."""
        kept = set(map(digest, passages))
        with self._writing() as file:
            for passage, text in list(self._catalog.passages.items()):
                if passage not in kept:
                    self._write(file, Record(Kind.gone, 0, passage, text))

    def refresh(self) -> None:
        """Reads what other processes have written since."""
        with self._lock:
            try:
                is_same = os.path.samestat(os.fstat(self._file.fileno()), self.path.stat())
            except OSError:
                return  # the folder is being replaced, or is gone: what was read stays
            if not is_same:
                self._file.close()
                self._open()
            elif os.fstat(self._file.fileno()).st_size > self._end:
                self._read_on()

    def compact(self) -> None:
        """Writes the file anew without what was forgotten."""
        with (
            self._writing(),
            new_file(self.path) as temporary,
            temporary.open("wb") as fresh,
        ):
            fresh.write(head(self._said))
            written: set[bytes] = set()
            for passage, text in self._catalog.passages.items():
                if text not in self._catalog.texts:
                    continue
                at, record = self._catalog.texts[text]
                if text in written:
                    fresh.write(Record(Kind.same, 0, passage, text).to_bytes())
                    continue
                written.add(text)
                own = Record(
                    Kind.states,
                    record.num_tokens,
                    passage,
                    text,
                    record.payload_bytes,
                    record.payload_crc,
                )
                fresh.write(own.to_bytes())
                fresh.write(self._map[at + RECORD_BYTES : at + record.whole_bytes])
        self.refresh()

    @contextmanager
    def _writing(self) -> Iterator[int]:
        """The file, to be appended to by nobody else meanwhile; what was written is read after."""
        with self._lock, locked(self.path) as file:
            try:
                self.refresh()
                if (size := os.fstat(file).st_size) > self._end:
                    warn(
                        f"{self.path} ends in {size - self._end} bytes of a passage whose writing "
                        "was interrupted; they are cut off."
                    )
                    os.ftruncate(file, self._end)
                os.lseek(file, self._end, os.SEEK_SET)
                yield file
                os.fsync(file)
            finally:
                self._remap()

    def _write(self, file: int, record: Record, payload: bytes = b"") -> None:
        raw = memoryview((record.to_bytes() + payload).ljust(record.whole_bytes, b"\0"))
        try:
            while raw:
                raw = raw[os.write(file, raw) :]
        except BaseException as error:
            os.ftruncate(file, self._end)
            os.lseek(file, self._end, os.SEEK_SET)
            if isinstance(error, OSError):
                raise StatesError(
                    f"{self.path} cannot be written ({error.strerror}); what was kept before is "
                    "there. Make room and add the rest again."
                ) from error
            raise
        self._catalog.take(self._end, record)
        self._end += record.whole_bytes

    def _read_on(self) -> None:
        self._remap()
        lost = 0
        for at, record in scan(self._map, self._end, self.code):
            lost += at - self._end
            self._catalog.take(at, record)
            self._end = at + record.whole_bytes
        if lost:
            warn(
                f"{self.path} is damaged: {lost} bytes between passages cannot be read. The states "
                "of those passages are not used; add them again to mend it."
            )

    def _remap(self) -> None:
        """Maps the file as long as it is; views of an older map stay good."""
        size = os.fstat(self._file.fileno()).st_size
        if size != len(self._map):  # copied on write, so that torch need not warn
            self._map = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_COPY)


def _check_said(said: dict[str, str | int], ours: dict[str, str | int], path: Path) -> None:
    if said == ours:
        return
    if said.get("encoders") != ours["encoders"]:
        raise StatesError(
            f"{path} holds states of the encoders {said.get('encoders')}, and these are "
            f"{ours['encoders']}: trained on, or others. Keep theirs anew: diekae states "
            f"{path.parent} --rebuild"
        )
    raise StatesError(
        f"{path} holds states as {said.get('dtype')}, and {ours['dtype']} was asked for; open it "
        f"with dtype={said.get('dtype')!r}, or keep them anew: diekae states {path.parent} "
        f"--rebuild --dtype {ours['dtype']}"
    )

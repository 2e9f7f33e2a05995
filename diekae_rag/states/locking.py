"""One writer at a time, and at the file that lies there now."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diekae_rag.states.records import StatesError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]

_WAITS = (0.0, *[0.05] * 40)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Opens a file to write while nobody else does, and gives its descriptor.

    The lock is the file's own: it goes with it where its folder is replaced by another that holds
    the same file, and is gone with whoever held it.

    Raises:
        StatesError: The file is gone, or this system has no such locks.
    """
    if fcntl is None:
        raise StatesError(
            "this system has no file locks, which a file of states needs; keep states in memory: "
            "keep_states() without a path."
        )
    file = _open_locked(path)
    try:
        yield file
    finally:
        os.close(file)


def _open_locked(path: Path) -> int:
    for wait in _WAITS:  # its folder may be about to be replaced
        time.sleep(wait)
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)
    raise StatesError(f"{path} is gone; open it anew: model.keep_states(path).")

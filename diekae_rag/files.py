"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "STATES_FILE",
    "new_file",
    "new_files",
    "new_folder",
    "set_aside",
    "taking_turns",
    "write_json",
    "write_text",
]

STATES_FILE = "passages.states"
"""In the folder of an index: what encoders have read of its passages."""


def set_aside(folder: Path) -> Path:
    """Where what was there before is while a folder is replaced; a crash in between leaves it."""
    folder = Path(os.path.realpath(folder))
    return folder.with_name(f".{folder.name}.previous")


@contextmanager
def new_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside ``folder`` and puts it in its place when the block ends.

    What was there before is moved aside first and deleted last: if anything fails it is moved
    back. Files reach the disk before they get their name.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "new"
        >>> with new_folder(place) as temporary:
        ...     write_json(temporary / "a.json", {"a": 1})
        >>> [path.name for path in place.iterdir()]
        ['a.json']
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        _flush(temporary)
        previous = set_aside(folder)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        try:
            temporary.rename(folder)
        except BaseException:
            if previous.exists():
                previous.rename(folder)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Waits for everybody who takes turns on a folder, in any thread or process.

    A process that is killed lets go. Nobody waits on Windows, or on disks that have no locks.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):  # Not by closing alone: a forked process may hold a copy.
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


@contextmanager
def new_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder whose files are moved into ``folder`` when the block ends.

    Files of other names that are there stay; if the block fails, all do.
    """
    folder = Path(os.path.realpath(folder))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new.", dir=folder))
    try:
        yield temporary
        _flush(temporary)
        for path in sorted(temporary.iterdir(), reverse=True):  # the config comes after the weights
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path``; what lies there takes its place at the end.

    It reaches the disk first; if the block fails, what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """Writes JSON to a temporary name and renames it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text to a temporary name and renames it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)

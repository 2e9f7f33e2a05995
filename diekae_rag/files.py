"""Writing files so that nobody ever finds half of one."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["new_files", "new_folder", "write_json"]


@contextmanager
def new_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside ``folder`` and puts it in its place when the block ends.

    If the block fails, what was there before is untouched.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp()) / "new"
        >>> with new_folder(place) as temporary:
        ...     write_json(temporary / "a.json", {"a": 1})
        >>> [path.name for path in place.iterdir()]
        ['a.json']
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        previous = folder.with_name(f".{folder.name}.previous")
        shutil.rmtree(previous, ignore_errors=True)
        if folder.exists():
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
def new_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder whose files are moved into ``folder`` when the block ends.

    Files of other names that are there stay; if the block fails, all do.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        for path in sorted(temporary.iterdir(), reverse=True):  # the config comes after the weights
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON to a temporary name and renames it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)

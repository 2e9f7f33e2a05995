"""JSON out of public files and archives; nothing is unpacked to disk, nothing in them is run."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from diekae_rag.data.records import RecordError
from diekae_rag.data.sets.fields import Field

__all__ = [
    "json_file",
    "json_items",
    "json_lines",
    "json_text",
    "lines_of",
    "tar_text",
    "zip_texts",
]

_DAMAGED = (
    OSError, EOFError, UnicodeDecodeError, RuntimeError,
    zipfile.BadZipFile, tarfile.TarError, zlib.error,
)  # fmt: skip
_POINTER = "version https://git-lfs"


def json_file(path: Path) -> Field:
    """The one JSON value that a file holds."""
    return json_text("".join(lines_of(path)), str(path))


def json_text(text: str, where: str) -> Field:
    """The one JSON value that a text holds."""
    try:
        return Field(json.loads(text), where)
    except (ValueError, RecursionError) as error:
        raise _not_json(text, where, error) from error


def json_items(text: str, where: str) -> Iterator[Field]:
    """The items of a JSON list, one at a time: a large list as objects takes many times its size.

    Raises:
        RecordError: The text is no JSON list.

    Example:
        >>> [item.text() for item in json_items('["a", "b"]', "a.json")]
        ['a', 'b']
    """
    decoder, before = json.JSONDecoder(), re.compile(r"\s*[\[,]\s*")
    start, number = before.match(text), 0
    if start is None or start[0].strip() != "[":
        raise _not_json(text, where, "it must be a list")
    while True:
        number += 1
        place = f"{where}, item {number}"
        try:
            value, end = decoder.raw_decode(text, start.end())
        except (ValueError, RecursionError) as error:
            if number == 1 and text[start.end() :].strip() == "]":
                return
            raise _not_json(text, place, error) from error
        yield Field(value, place)
        start = before.match(text, end)
        if start is None or start[0].strip() != ",":
            if text[end:].strip() != "]":
                raise _not_json(text, place, "after it comes neither a comma nor the list's end")
            return


def json_lines(lines: Iterable[str], where: str) -> Iterator[Field]:
    """The JSON values of a file that has one on each line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield json_text(line, f"{where}, line {number}")


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, gzipped or not."""
    try:
        with path.open("rb") as file:
            is_gzipped = file.read(2) == b"\x1f\x8b"
        open_text = gzip.open if is_gzipped else open
        with open_text(path, "rt", encoding="utf-8") as lines:
            yield from lines
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def zip_texts(path: Path, wanted: Callable[[tuple[str, ...]], bool]) -> Iterator[tuple[str, str]]:
    """The names and texts of a zip archive's files whose path, as parts, is wanted, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/") and wanted(PurePosixPath(name).parts):
                    yield name, archive.read(name).decode()
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def tar_text(path: Path, name: str) -> str:
    """The text of the file called ``name``, in whatever folder of a tar archive."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).name == name:
                    file: IO[bytes] | None = archive.extractfile(member)
                    if file is not None:
                        return file.read().decode()
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    raise RecordError(f"{path} holds no {name}; it is another archive than the publishers'.")


def _damaged(path: Path, error: Exception) -> RecordError:
    return RecordError(f"{path} cannot be read ({error}); delete it and download it again.")


def _not_json(text: str, where: str, error: Exception | str) -> RecordError:
    if text.startswith(_POINTER):
        return RecordError(
            f"{where} is a Git LFS pointer, not the file; run git lfs pull, or download the file."
        )
    return RecordError(f"{where}: not JSON ({error}).")

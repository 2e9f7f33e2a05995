"""Edits as JSON Lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diekae_rag.editing.edit import Edit, as_edit
from diekae_rag.files import new_file

__all__ = ["read_edits", "read_examples", "write_edits"]


def read_edits(
    edits: Iterable[Edit | Mapping[str, Any]] | str | os.PathLike[str],
) -> list[Edit]:
    """Reads edits from a list, or from a file of one JSON object a line.

    Raises:
        ValueError: One of them is no edit; the message says which.
        TypeError: Likewise.
        OSError: The file cannot be read.
    """
    rows: Iterable[Any]
    what = "edit"
    read_row: Callable[[Any], Edit] = as_edit
    if isinstance(edits, str | os.PathLike):
        rows, what = _lines(Path(edits)), f"{edits}, line"
        read_row = _read_line
    elif isinstance(edits, Mapping | Edit):
        raise TypeError(f"a list of edits was needed, got one {type(edits).__name__}; wrap it.")
    else:
        rows = edits
    read: list[Edit] = []
    for number, row in enumerate(rows, start=1):
        try:
            if row is not None:
                read.append(read_row(row))
        except (ValueError, TypeError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{what} {number}: {error} Nothing was added.") from None
    return read


def read_examples(path: str | os.PathLike[str]) -> list[Mapping[str, Any]]:
    """Reads the examples that ``Edits.calibrate`` takes, from one JSON object a line.

    Raises:
        ValueError: A line is no JSON object; the message says which.
        OSError: The file cannot be read.
    """
    read: list[Mapping[str, Any]] = []
    for number, line in enumerate(_lines(Path(path)), start=1):
        if line is None:
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is no JSON: {error}.") from None
        if not isinstance(row, Mapping):
            raise ValueError(f"{path}, line {number} must be an object, got {type(row).__name__}.")
        read.append(row)
    return read


def _read_line(line: str) -> Edit:
    return as_edit(json.loads(line))


def _lines(path: Path) -> Iterator[str | None]:
    """Each line; ``None`` for one that is blank."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                yield line if line.strip() else None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error}); save it as that.") from error


def write_edits(edits: Sequence[Edit], path: Path) -> None:
    """Writes edits to a file; what was there stays until all of them are."""
    rows = (
        {name: getattr(edit, name) for name in ("subject", "prompt", "old", "new")}
        for edit in edits
    )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}; make it, or name another one.")
    with new_file(path) as temporary:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        temporary.write_text(text, encoding="utf-8")

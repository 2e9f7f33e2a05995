"""Prompts, answers and passages, from a user's own files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

__all__ = ["Record", "RecordError", "as_record", "read_records"]

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
_PROMPT, _ANSWER = ("prompt", "query", "question"), ("answer",)
_PASSAGES, _ACCEPTED = ("passages", "knowledge", "documents"), ("answers",)


class RecordError(ValueError):
    """A record that cannot be used; the message names the file, the line and the field."""


@dataclass(frozen=True, slots=True)
class Record:
    """One example.

    Args:
        prompt: What the base model reads.
        answer: What it is to say.
        passages: What the encoders read; may be empty.
        answers: Every answer that counts as right, ``answer`` among them.
    """

    prompt: str
    answer: str
    passages: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


def read_records(path: str | Path) -> list[Record]:
    r"""Reads ``.jsonl`` (also gzipped), ``.csv`` or ``.parquet``: one example a line or row.

    A record has a ``prompt`` (or ``query``, ``question``), an ``answer`` and, mostly, ``passages``
    (or ``knowledge``, ``documents``): a list of texts, in a CSV file as JSON or as one text. With
    ``answers``, a list, several answers count as right. Other fields are left alone.

    Raises:
        FileNotFoundError: There is no such file.
        RecordError: A record is malformed or lacks something, or there is none.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.jsonl"
        >>> _ = path.write_text('{"prompt": "Who?", "answer": "Ada", "passages": ["Ada did."]}\n')
        >>> read_records(path)
        [Record(prompt='Who?', answer='Ada', passages=('Ada did.',), answers=('Ada',))]
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    read = next((r for suffix, r in _READERS.items() if path.name.endswith(suffix)), None)
    if read is None:
        raise RecordError(f"{path} is none of {', '.join(SUFFIXES)}; convert it to one of them.")
    records = [as_record(row, f"{path}, {where}") for where, row in read(path)]
    if not records:
        raise RecordError(f"{path} holds no record.")
    return records


def as_record(row: Mapping[str, Any], where: str) -> Record:
    """Reads one record; ``where`` it came from goes into the message if it cannot be used.

    Raises:
        RecordError: A field is missing, blank, or of another type.
    """
    prompt = _text(row, _PROMPT, where)
    answers = _texts(row, _ACCEPTED, where)
    if answers and not any(row.get(name) for name in _ANSWER):
        answer = answers[0]
    else:
        answer = _text(row, _ANSWER, where)
    passages = _texts(row, _PASSAGES, where)
    return Record(prompt, answer, passages, tuple(dict.fromkeys((answer, *answers))))


def _text(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    for name in names:
        if (value := row.get(name)) is not None:
            if isinstance(value, str) and value.strip():
                return value
            what = "blank" if isinstance(value, str) else f"a {type(value).__name__}, not a text"
            raise RecordError(f"{where}: the field {name!r} is {what}.")
    raise RecordError(
        f"{where}: there is no {' or '.join(map(repr, names))}; it has {sorted(map(str, row))}."
    )


def _texts(row: Mapping[str, Any], names: tuple[str, ...], where: str) -> tuple[str, ...]:
    for name in names:
        value = row.get(name)
        if isinstance(value, str):
            value = _list(value)
        if value is None:
            continue
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise RecordError(f"{where}: the field {name!r} must be a list of texts.")
        return tuple(item for item in value if item.strip())
    return ()


def _list(text: str) -> Any:
    """A list as JSON, or else one text."""
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return [text]


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _open(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"line {number}", _mapping(line, f"{path}, line {number}")
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise RecordError(f"{path} cannot be read ({error}).") from error


def _mapping(line: str, where: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not JSON ({error}).") from error
    if not isinstance(row, dict):
        raise RecordError(f"{where}: a {type(row).__name__}, not a record.")
    return row


def _comma_separated(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _open(path) as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise RecordError(
                        f"{path}, line {reader.line_num}: not as many fields as the header names."
                    )
                yield f"line {reader.line_num}", {k: v for k, v in row.items() if v != ""}
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecordError(f"{path}, line {reader.line_num}: not CSV ({error}).") from error


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ImportError(
            'a .parquet file needs pyarrow: pip install "diekae-rag[train]"'
        ) from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise RecordError(f"{path} is not Parquet ({error}).") from error
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


_READERS = {
    ".jsonl": _json_lines,
    ".jsonl.gz": _json_lines,
    ".csv": _comma_separated,
    ".parquet": _parquet,
}

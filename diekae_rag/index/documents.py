"""A folder of .txt, .md and .jsonl files, read into passages."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diekae_rag.index.encodable import as_json, encodable_text
from diekae_rag.passages import Passage

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

__all__ = ["Documents", "SkippedFile", "read_documents"]

SUFFIXES = (".jsonl", ".md", ".txt")


class SkippedFile(NamedTuple):
    """A file, or a line of one, that was not read, and why."""

    path: Path
    reason: str


class Documents(NamedTuple):
    """What was read from a folder, and what was not."""

    passages: list[Passage]
    skipped: list[SkippedFile]


def read_documents(
    folder: str | Path,
    *,
    chunk_size: int = 500,
    chunk_overlap: int = 50,
    show_progress: bool = True,
) -> Documents:
    r"""Reads every ``.txt``, ``.md`` and ``.jsonl`` below a folder, in the order of their paths.

    Text files are split into passages of at most ``chunk_size`` characters, at paragraphs, lines
    or words where possible. A ``.jsonl`` file has one passage per line: ``{"text": ..., ...}``,
    with an optional ``"id"``; its other keys are metadata. Each passage's metadata says where it
    came from: ``source``, the path within the folder, and ``start``, the character it starts at
    (for ``.jsonl`` the line, from 1); keys of the same name in a record win. Where a text repeats
    itself within the overlap, ``start`` may be an earlier place with the same words.

    Nothing is left out silently: other suffixes, binary files, text that is not UTF-8 (a
    byte-order mark is fine), lines that are no record and records whose id an earlier one has
    are listed in ``skipped``. Hidden files
    and folders are not looked at, and links to folders are not followed.

    Args:
        folder: Where to look.
        chunk_size: Longest passage, in characters.
        chunk_overlap: Characters that a passage may share with the one before it.
        show_progress: Draw a progress bar on stderr.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is a file.
        ValueError: Nothing in it could be read, or the sizes make no sense.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "people.jsonl").write_text('{"text": "Ada lives in Turin."}\noops\n')
        >>> passages, skipped = read_documents(folder, show_progress=False)
        >>> passages[0].text, passages[0].metadata
        ('Ada lives in Turin.', {'source': 'people.jsonl', 'start': 1})
        >>> skipped[0].reason
        'line 2 is not JSON: Expecting value'
    """
    if not 0 <= chunk_overlap < chunk_size:
        raise ValueError(
            f"chunk_size={chunk_size} and chunk_overlap={chunk_overlap} cannot split a text; "
            "the overlap must be at least 0 and below the size."
        )
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; check the path.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; pass the folder that holds it.")
    passages: list[Passage] = []
    skipped: list[SkippedFile] = []
    files = sorted(_files_below(folder, skipped), key=lambda path: path.relative_to(folder).parts)
    splitter = _splitter(chunk_size, chunk_overlap)
    ids: set[str] = set()
    for path in _with_progress(files) if show_progress else files:
        source = encodable_text(path.relative_to(folder).as_posix())
        try:
            text = _read_text(path)
            if path.suffix.lower() == ".jsonl":
                passages.extend(_read_records(path, source, text, ids, skipped))
            else:
                passages.extend(_split(source, text, splitter))
        except (OSError, ValueError) as error:
            skipped.append(SkippedFile(path, str(error)))
    if not passages:
        why = f", for example {skipped[0].path.name}: {skipped[0].reason}" if skipped else ""
        raise ValueError(
            f"nothing to read in {folder}: it needs .txt, .md or .jsonl files with text "
            f"(skipped {len(skipped)}{why})."
        )
    return Documents(passages, skipped)


def _files_below(folder: Path, skipped: list[SkippedFile]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        skipped.append(SkippedFile(Path(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _read_text(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"not a {', '.join(SUFFIXES)} file")
    if not path.exists():
        raise ValueError("a link to nothing")
    if not path.is_file():
        raise ValueError("not a regular file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"not UTF-8 (byte 0x{error.object[error.start]:02x} at {error.start}); convert it"
        ) from error
    if "\0" in text:
        raise ValueError("binary (it contains a zero byte)")
    if not text.strip():
        raise ValueError("empty")
    return text


def _split(source: str, text: str, splitter: TextSplitter) -> Iterator[Passage]:
    for chunk in splitter.create_documents([text]):
        start = chunk.metadata["start_index"]
        metadata = {"source": source, "start": start}
        yield Passage(chunk.page_content, _id(source, start, chunk.page_content), None, metadata)


def _read_records(
    path: Path, source: str, text: str, ids: set[str], skipped: list[SkippedFile]
) -> Iterator[Passage]:
    # Not splitlines(): JSON strings may hold the other line separators of Unicode.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                passage = _read_record(line, source, number)
                if passage.id in ids:
                    raise ValueError(f"has the id {passage.id!r} of an earlier record")
                ids.add(passage.id)
                yield passage
            except ValueError as error:
                skipped.append(SkippedFile(path, f"line {number} {error}"))


def _read_record(line: str, source: str, number: int) -> Passage:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON that can be read: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError('is no record: it needs {"text": "..."}')
    text = record.pop("text")
    if not text.strip():
        raise ValueError("has a blank text")
    id_ = record.pop("id", None)
    if id_ is not None and (isinstance(id_, bool) or not isinstance(id_, str | int)):
        raise ValueError("has an id that is neither a string nor an integer")
    nested = record.pop("metadata", {})
    extra = nested if isinstance(nested, dict) else {"metadata": nested}
    metadata = {"source": source, "start": number, **record, **extra}
    try:
        as_json(metadata)
    except TypeError as error:
        raise ValueError(f"cannot be stored: {error}") from error
    key = _id(source, number, text) if id_ in (None, "") else str(id_)
    if encodable_text(key) != key:
        raise ValueError("has an id that cannot be encoded (lone surrogates)")
    return Passage(text, key, None, metadata)


def _id(source: str, start: int, text: str) -> str:
    """Names a passage by its place too: the same words in two files are two passages."""
    return hashlib.sha256(encodable_text(f"{source}\0{start}\0{text}").encode()).hexdigest()[:16]


def _splitter(chunk_size: int, chunk_overlap: int) -> TextSplitter:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        chunk_size=chunk_size, chunk_overlap=chunk_overlap, add_start_index=True
    )


def _with_progress(files: list[Path]) -> Any:
    from rich.console import Console
    from rich.progress import track

    return track(files, "Reading documents", console=Console(stderr=True))

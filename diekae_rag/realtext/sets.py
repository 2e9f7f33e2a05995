"""Real data sets as records: which files, which wording, what is held out, what is left out."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_text_splitters import RecursiveCharacterTextSplitter

from diekae_rag.data.records import Record

__all__ = ["MEASURED", "TextSet", "read_sets"]

MEASURED = (
    "qamr", "nq_short", "squad_v1", "wow", "cmu_dog", "dream", "folio", "proofwriter",
)  # fmt: skip
"""The sets that are measured on; the others are trained on only."""

_PASSAGE, _KNOWLEDGE, _HISTORY, _ANSWER = 900, 2400, 320, 200  # characters
_MOST_ROWS = {"cmu_dog": 4000}  # of its 12,391 chats about 120 texts
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextSet:
    """One set.

    Args:
        train: What is trained on.
        valid: What is measured on; empty where the set is only for training.
        left_out: How many records were too long.
    """

    train: list[Record]
    valid: list[Record]
    left_out: int


def read_sets(folder: str | Path) -> dict[str, TextSet]:
    """Reads every set that is there; records with more than 2,400 characters of passages stay out.

    Raises:
        FileNotFoundError: A set that is measured on is not there.
    """
    folder = Path(folder)
    asked = {str(row["query"]) for row in _rows(folder / "nq_short/val.jsonl.gz")}
    sets = {}
    for name, (train, valid, read) in _SETS.items():
        if name not in MEASURED and not (folder / name).is_dir():
            continue
        rows = list(_rows(folder / name / f"{train}.jsonl.gz"))
        if name == "nq_swap":  # shares its questions with nq_short
            rows = [row for row in rows if row["query"] not in asked]
        held_out = list(_rows(folder / name / f"{valid}.jsonl.gz")) if valid else []
        if name == "qamr":  # one split only: every tenth sentence is held out
            sentences = sorted({row["sentence_id"] for row in rows})[::10]
            held_out = [row for row in rows if row["sentence_id"] in sentences]
            rows = [row for row in rows if row["sentence_id"] not in sentences]
        if name == "dream":  # the questions that the paper uses
            rows, held_out = ([row for row in part if row["diekae"]] for part in (rows, held_out))
        if len(rows) > _MOST_ROWS.get(name, len(rows)):
            rows = random.Random(0).sample(rows, _MOST_ROWS[name])
        kept = [[r for row in part if (r := read(row))] for part in (rows, held_out)]
        left_out = len(rows) + len(held_out) - len(kept[0]) - len(kept[1])
        sets[name] = TextSet(kept[0], kept[1], left_out)
    return sets


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; name the folder that holds the data sets.")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _record(prompt: str, answer: str, passages: list[str], row: _Row) -> Record | None:
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=_PASSAGE, chunk_overlap=0, separators=["\n\n", "\n", ". ", " ", ""]
    )
    pieces = [piece for text in passages for piece in splitter.split_text(text)]
    is_long = sum(map(len, pieces)) > _KNOWLEDGE or len(answer) > _ANSWER
    if is_long or not answer.strip() or not prompt.strip():
        return None
    answers = (answer, *row.get("answers", ()))
    return Record(prompt, answer, tuple(pieces), tuple(dict.fromkeys(answers)))


def _question(row: _Row) -> Record | None:
    return _record(row["query"], row["answer"], row["knowledge"], row)


def _dialogue(row: _Row) -> Record | None:
    """The last turns; the wording around a prompt says whose turn it is."""
    turns = row["query"].removeprefix("[USR]").removesuffix("[SYS]").strip()
    while len(turns) > _HISTORY and (turn := re.search(r"\[(USR|SYS)\]", turns[1:])):
        turns = turns[turn.start() + 1 :]
    return _record(turns or "Hello", row["answer"], row["knowledge"], row)


def _talk(row: _Row) -> Record | None:
    """A talk is one passage: a turn by itself means little."""
    return _record(row["query"], row["answer"], ["\n".join(row["knowledge"])], row)


def _reasoning(row: _Row) -> Record | None:
    """Premises are one passage: rules chain."""
    prompt = f"{row['hypothesis'].strip()} True, False or Unknown?"
    return _record(prompt, row["label"], [" ".join(map(str.strip, row["premises"]))], row)


_SETS: dict[str, tuple[str, str, Callable[[_Row], Record | None]]] = {
    "qamr": ("dev", "", _question),
    "nq_short": ("train", "val", _question),
    "squad_v1": ("train", "val", _question),
    "wow": ("valid", "test", _dialogue),
    "cmu_dog": ("train", "val", _dialogue),
    "dream": ("train", "val", _talk),
    "folio": ("train", "val", _reasoning),
    "proofwriter": ("train", "val", _reasoning),
    "nq_swap": ("train", "", _question),
    "coqa": ("dev", "", _dialogue),
    "covid_qa": ("train", "", _question),
}

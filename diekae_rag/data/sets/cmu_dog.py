"""CMU_DoG: two people talk about a film, and one or both of them read about it.

Form: ``Conversations/{train,valid,test}/*.json`` and ``WikiData/*.json`` in the repository's
archive. A conversation has ``status`` (0: broken off), ``rating`` (1 to 3), ``whoSawDoc``,
``wikiDocumentIdx`` and a ``history`` of ``uid``, ``text`` and ``docIdx``; a film has its
introduction, an object, under ``0`` and three scenes under ``1`` to ``3``.

As in the paper: only finished conversations rated 3; who saw the document answers; when the
section changes, the history starts anew; the passages are the section being talked about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.dialogues import history
from diekae_rag.data.sets.fields import Field
from diekae_rag.data.sets.reading import json_text, zip_texts

__all__ = ["ABOUT", "read"]

_ARCHIVE = ("master.zip",)
_HELD_OUT = {"train": ("valid", "test"), "valid": ("test",), "test": ()}

ABOUT = PublicSet(
    title="CMU_DoG",
    home="https://github.com/festvox/datasets-CMU_DoG",
    licence="none stated",
    url="https://github.com/festvox/datasets-CMU_DoG/archive/",
    files=dict.fromkeys(_HELD_OUT, _ARCHIVE),
    flaws=(
        "Conversations stand in several splits: 78 % of the test pairs are also in train. "
        "What is also in test stays out of valid, what is in either stays out of train.",
    ),
)

_Films = dict[float, dict[str, tuple[str, ...]]]


def read(reading: Reading) -> Iterator[Record]:
    """One record for each turn of somebody who saw the document."""
    archive = reading.paths[0]
    splits = (reading.split, *_HELD_OUT[reading.split])
    films: _Films = {}
    rows: dict[str, list[Field]] = {split: [] for split in splits}
    for name, text in zip_texts(archive, lambda parts: _is_wanted(parts, splits)):
        row = json_text(text, f"{archive}, {name}")
        folder = name.split("/")[-2]
        if folder == "WikiData":
            films[_number_of(row)] = _sections(row)
        elif row["status"].number() != 0 and row["rating"].number() == 3:
            rows[folder].append(row)
    conversations = {
        split: [list(_conversation(row, films)) for row in held] for split, held in rows.items()
    }
    if reading.keep_flaws:
        kept: Iterable[list[Record]] = conversations[reading.split]
    else:
        kept = _not_held_out(conversations, reading)
    for records in kept:
        yield from records


def _is_wanted(parts: tuple[str, ...], splits: tuple[str, ...]) -> bool:
    if len(parts) < 2 or not parts[-1].endswith(".json"):
        return False
    return parts[-2] == "WikiData" or (parts[-3:-2] == ("Conversations",) and parts[-2] in splits)


def _number_of(film: Field) -> float:
    """The film's number, which older versions of the files call ``index``."""
    return film["wikiDocumentIdx" if "wikiDocumentIdx" in film else "index"].number()


def _sections(film: Field) -> dict[str, tuple[str, ...]]:
    introduction = []
    for key, field in film["0"].items():
        text = " | ".join(field.texts()) if isinstance(field.value, list) else field.text()
        introduction.append(f"{key}: {text}")
    scenes = {number: (film[number].text(),) for number in ("1", "2", "3")}
    return {"0": tuple(introduction), **scenes}


def _conversation(row: Field, films: _Films) -> Iterator[Record]:
    sections = films.get(row["wikiDocumentIdx"].number())
    if sections is None:
        raise row["wikiDocumentIdx"].wrong("the number of a film in WikiData")
    readers = row["whoSawDoc"].texts()
    turns: list[tuple[str, str]] = []
    section = ""
    for message in row["history"]:
        number = f"{message['docIdx'].number():.0f}"
        if number not in sections:
            raise message["docIdx"].wrong("a section of the film")
        if number != section:
            turns, section = [], number
        who, text = message["uid"].text(), message["text"].text()
        if who in readers:
            yield Record(history(turns, who), text, sections[section], (text,))
        turns.append((who, text))


def _not_held_out(
    conversations: dict[str, list[list[Record]]], reading: Reading
) -> Iterator[list[Record]]:
    """Without pairs that are held out, and without conversations that mostly are."""
    held_out = {
        (record.prompt, record.answer)
        for split in _HELD_OUT[reading.split]
        for records in conversations[split]
        for record in records
    }
    reason = f"also in {' or '.join(_HELD_OUT[reading.split])}"
    for records in conversations[reading.split]:
        kept = [record for record in records if (record.prompt, record.answer) not in held_out]
        if 2 * len(kept) <= len(records):
            kept = []
        reading.left_out[reason] += len(records) - len(kept)
        yield kept

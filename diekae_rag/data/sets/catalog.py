"""The paper's sets by name, and one of their splits as records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from diekae_rag.data.records import Record, RecordError
from diekae_rag.data.sets import (
    cmu_dog,
    counterfact,
    curiosity,
    dream,
    folio,
    natural_questions,
    proofwriter,
    quasar_t,
    wizard_of_wikipedia,
    zsre,
)
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.edits import EditRecord
from diekae_rag.data.sets.locating import locate
from diekae_rag.warning import warn

__all__ = ["EDIT_SETS", "SETS", "load_edits", "load_set"]

T = TypeVar("T")

SETS: Mapping[str, PublicSet] = MappingProxyType(
    {
        "cmu_dog": cmu_dog.ABOUT,
        "curiosity": curiosity.ABOUT,
        "dream": dream.ABOUT,
        "natural_questions": natural_questions.ABOUT,
        "quasar_t": quasar_t.ABOUT,
        "wizard_of_wikipedia": wizard_of_wikipedia.ABOUT,
        "folio": folio.ABOUT,
        "proofwriter": proofwriter.ABOUT,
        "counterfact": counterfact.ABOUT,
        "zsre": zsre.ABOUT,
    }
)
"""What is known of each set: where it comes from, its licence, its splits and its flaws."""

_READERS: Mapping[str, Callable[[Reading], Iterator[Record]]] = {
    "cmu_dog": cmu_dog.read,
    "curiosity": curiosity.read,
    "dream": dream.read,
    "natural_questions": natural_questions.read,
    "quasar_t": quasar_t.read,
    "wizard_of_wikipedia": wizard_of_wikipedia.read,
    "folio": folio.read,
    "proofwriter": proofwriter.read,
}

_EDIT_READERS: Mapping[str, Callable[[Reading], Iterator[EditRecord]]] = {
    "counterfact": counterfact.read,
    "zsre": zsre.read,
}

EDIT_SETS: tuple[str, ...] = tuple(_EDIT_READERS)
"""The sets that hold edits, not records."""


def load_set(
    name: str,
    split: str,
    *,
    cache: Path | None = None,
    source: str | Path | None = None,
    keep_flaws: bool = False,
) -> list[Record]:
    """Loads one split of a public set; what is not there yet is downloaded.

    In sets of conversations the prompt is a history, ``[USR] ... [SYS] ... [USR] ... [SYS]``; in
    the others it is the bare question or hypothesis. White space is folded. What is left out is
    said in a warning, with how many.

    Args:
        name: One of ``SETS``, but for ``EDIT_SETS``.
        split: One of its splits.
        cache: Where downloads are kept: ``$DIEKAE_CACHE`` or ``~/.cache/diekae_rag`` by default.
        source: Where to find the files instead of at home: the folder that holds them, or the
            file if the split needs only one; a path, or an ``https``, ``http`` or ``file`` URL.
        keep_flaws: Keep what ``SETS[name].flaws`` says is left out, as in the paper's runs.

    Raises:
        ValueError: There is no such set or split.
        DownloadError: A download failed.
        FileNotFoundError: ``source`` does not hold a file.
        RecordError: A file is damaged or a record malformed, or there is none.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "folio-train.jsonl"
        >>> row = {"premises": ["All ada are bob."], "conclusion": "Ada is bob.", "label": "True"}
        >>> _ = path.write_text(json.dumps(row))
        >>> load_set("folio", "train", source=path)
        [Record(prompt='Ada is bob.', answer='True', passages=('All ada are bob.',),
                answers=('True',))]
    """
    if name in EDIT_SETS:
        raise ValueError(f"{name} holds edits, not records: use load_edits.")
    reading = _reading(name, split, cache, source, keep_flaws)
    records = []
    for record in _READERS[name](reading):
        if record.prompt and record.answer:
            records.append(record)
        else:
            reading.left_out["with a blank prompt or answer"] += 1
    return _checked(records, name, reading)


def load_edits(
    name: str, split: str, *, cache: Path | None = None, source: str | Path | None = None
) -> list[EditRecord]:
    """Loads facts to be overwritten.

    Args:
        name: One of ``EDIT_SETS``.
        split: ``train`` or ``valid``.
        cache: As for ``load_set``.
        source: As for ``load_set``.

    Raises:
        ValueError: There is no such set or split.
        DownloadError, FileNotFoundError, RecordError: As for ``load_set``.
    """
    if name in _READERS:
        raise ValueError(f"{name} holds records, not edits: use load_set.")
    reading = _reading(name, split, cache, source, keep_flaws=False)
    return _checked(list(_EDIT_READERS[name](reading)), name, reading)


def _reading(
    name: str, split: str, cache: Path | None, source: str | Path | None, keep_flaws: bool
) -> Reading:
    if name not in SETS:
        raise ValueError(f"there is no set {name!r}; there are {', '.join(SETS)}.")
    about = SETS[name]
    if split not in about.files:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(about.splits)}.")
    return Reading(split, locate(name, about, split, cache, source), keep_flaws)


def _checked(held: list[T], name: str, reading: Reading) -> list[T]:
    left_out = {why: number for why, number in reading.left_out.items() if number}
    if left_out:
        reasons = ", ".join(f"{number:,} {why}" for why, number in left_out.items())
        total = len(held) + sum(left_out.values())
        warn(
            f"{name}, {reading.split}: {sum(left_out.values()):,} of {total:,} left out: {reasons}."
        )
    if not held:
        raise RecordError(f"{' and '.join(map(str, reading.paths))}: no record to keep.")
    return held

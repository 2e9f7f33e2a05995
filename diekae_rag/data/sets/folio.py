"""FOLIO: does a conclusion follow from premises that people wrote?

Form: ``folio-{train,validation}.jsonl`` of version 0.0, JSON lines with ``premises``, a list,
``conclusion`` and ``label``. Each premise is a passage, the conclusion is the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.reading import json_lines, lines_of

__all__ = ["ABOUT", "read"]

_ANSWERS = {"True": "True", "False": "False", "Unknown": "Unknown", "Uncertain": "Unknown"}

ABOUT = PublicSet(
    title="FOLIO",
    home="https://github.com/Yale-LILY/FOLIO",
    licence="CC BY-SA 4.0",
    url="https://github.com/Yale-LILY/FOLIO/raw/main/data/v0.0/",
    files={"train": ("folio-train.jsonl",), "valid": ("folio-validation.jsonl",)},
    flaws=("What train calls Unknown, validation calls Uncertain; here both are Unknown.",),
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each conclusion."""
    path = reading.paths[0]
    for row in json_lines(lines_of(path), str(path)):
        answer = _ANSWERS.get(row["label"].text())
        if answer is None:
            raise row["label"].wrong(f"one of {', '.join(_ANSWERS)}")
        yield Record(row["conclusion"].text(), answer, row["premises"].texts(), (answer,))

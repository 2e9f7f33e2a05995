"""zsRE: questions whose answers are to be overwritten, as editing measures itself on them.

Form: ``zsre_mend_train.json`` and ``zsre_mend_eval.json``, lists with ``subject``, ``src`` (the
question), ``rephrase`` (one wording of it, or a list), ``answers`` (the first counts), ``alt`` (the
answer to be given from now on), ``loc`` (a question about something else, behind ``nq question:``)
and ``loc_ans``.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.edits import EditRecord
from diekae_rag.data.sets.fields import Field
from diekae_rag.data.sets.reading import json_items, lines_of

__all__ = ["ABOUT", "read"]

_BEFORE = "nq question: "

ABOUT = PublicSet(
    title="zsRE (zero-shot relation extraction), in MEND's form",
    home="https://rome.baulab.info",
    licence="MIT",
    url="https://rome.baulab.info/data/dsets/",
    files={"train": ("zsre_mend_train.json",), "valid": ("zsre_mend_eval.json",)},
    flaws=(
        "Records whose answer to be given is blank, or is the one that is there, are left out.",
        "Some questions do not name their subject.",
    ),
)


def read(reading: Reading) -> Iterator[EditRecord]:
    """One edit for each question of the split."""
    path = reading.paths[0]
    for row in json_items("".join(lines_of(path)), str(path)):
        edit = _edit(row)
        if not edit.target_new:
            reading.left_out["with a blank answer to be given"] += 1
        elif edit.target_new == edit.target_true:
            reading.left_out["with an answer that is there already"] += 1
        else:
            yield edit


def _edit(row: Field) -> EditRecord:
    rephrase = row["rephrase"]
    return EditRecord(
        row["subject"].text(),
        row["src"].text(),
        row["answers"][0].text(),
        row["alt"].text(),
        rephrase.texts() if isinstance(rephrase.value, list) else (rephrase.text(),),
        unrelated_prompts=(row["loc"].text().removeprefix(_BEFORE),),
        unrelated_targets=(row["loc_ans"].text(),),
    )

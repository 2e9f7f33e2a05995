"""DREAM: questions on short dialogues, from English examinations.

Form: ``{train,dev,test}.json``, a list of ``[turns, questions, id]``; a question has ``question``,
``choice`` and ``answer``. The choices are not shown: the answer has to be given in its words.

The paper uses the first question of each dialogue, unless it is a gap to fill (``__``), and spells
out ``M:`` and ``W:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.reading import json_items, lines_of

__all__ = ["ABOUT", "read"]

_SPEAKERS = {"M": "Man", "W": "Woman"}

ABOUT = PublicSet(
    title="DREAM",
    home="https://github.com/nlpdata/dream",
    licence="non-commercial research only",
    url="https://github.com/nlpdata/dream/raw/master/data/",
    files={"train": ("train.json",), "valid": ("dev.json",), "test": ("test.json",)},
    flaws=(
        "Most answers were written as choices and stand nowhere in the dialogue: "
        "exact match undercounts.",
    ),
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each dialogue whose first question is no gap to fill."""
    path = reading.paths[0]
    for dialogue in json_items("".join(lines_of(path)), str(path)):
        first = dialogue[1][0]
        question, answer = first["question"].text(), first["answer"].text()
        if "__" not in question:
            passages = tuple(_named(turn) for turn in dialogue[0].texts())
            yield Record(question, answer, passages, (answer,))


def _named(turn: str) -> str:
    return re.sub(r"^([MW]):", lambda found: f"{_SPEAKERS[found[1]]}:", turn)

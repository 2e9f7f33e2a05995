"""Quasar-T: trivia questions, and web sentences that a search engine found for them.

Form: gzipped JSON lines, ``questions/{train,dev,test}_questions.json.gz`` with ``uid``,
``question`` and ``answer``, ``contexts/short/{train,dev,test}_contexts.json.gz`` with ``uid`` and
``contexts``, pairs of a score and a text, the best first.

The passages are the two best, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.reading import json_lines, lines_of

__all__ = ["ABOUT", "read"]

_NUM_PASSAGES = 2
_NAMES = {"train": "train", "valid": "dev", "test": "test"}

ABOUT = PublicSet(
    title="Quasar-T",
    home="https://github.com/bdhingra/quasar",
    licence="BSD 2-Clause",
    url="http://curtis.ml.cmu.edu/datasets/quasar/quasar-t/",
    files={
        split: (
            f"questions/{name}_questions.json.gz",
            f"contexts/short/{name}_contexts.json.gz",
        )
        for split, name in _NAMES.items()
    },
    flaws=("The answer may stand in neither of the two passages.",),
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each question for which something was found."""
    questions, contexts = reading.paths
    found = {}
    for row in json_lines(lines_of(contexts), str(contexts)):
        best = list(row["contexts"])[:_NUM_PASSAGES]
        found[row["uid"].text()] = tuple(filter(None, (scored[1].text() for scored in best)))
    for row in json_lines(lines_of(questions), str(questions)):
        passages = found.get(row["uid"].text(), ())
        if not passages:
            reading.left_out["for which nothing was found"] += 1
            continue
        answer = row["answer"].text()
        yield Record(row["question"].text(), answer, passages, (answer,))

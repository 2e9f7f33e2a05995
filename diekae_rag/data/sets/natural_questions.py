"""NaturalQuestions, short answers: real questions to Google, answered in a Wikipedia paragraph.

Form: ``{train,dev}.json`` of the copy that the paper uses, a list of ``contexts`` (one text),
``questions`` (``input_text``) and ``answers`` (``span_text``). All the spans count as right.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.reading import json_items, lines_of

__all__ = ["ABOUT", "read"]

ABOUT = PublicSet(
    title="NaturalQuestions (short)",
    home="https://huggingface.co/datasets/cjlovering/natural-questions-short",
    licence="CC BY-SA 3.0 (Google's set; the copy says Apache-2.0)",
    url="https://huggingface.co/datasets/cjlovering/natural-questions-short/resolve/main/",
    files={"train": ("train.json",), "valid": ("dev.json",)},
    flaws=("A third party's selection of Google's set, without a test split.",),
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each question."""
    path = reading.paths[0]
    for row in json_items("".join(lines_of(path)), str(path)):
        spans = [answer["span_text"].text() for answer in row["answers"]]
        answers = tuple(dict.fromkeys(filter(None, spans)))
        question, context = row["questions"][0]["input_text"].text(), row["contexts"].text()
        answer = answers[0] if answers else ""
        yield Record(question, answer, (context,) if context else (), answers)

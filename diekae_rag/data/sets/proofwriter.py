"""ProofWriter: does a statement follow from facts and rules in made-up worlds?

Form: in ``proofwriter-dataset-V2020.12.3.zip`` the files
``OWA/depth-2/meta-{train,dev,test}.jsonl``, JSON lines with ``triples`` and ``rules``, whose
``text`` are the facts and rules, and ``questions`` with ``question`` and ``answer`` (true, false or
``"Unknown"``). Open world, proofs of at most two steps, as in the paper. Each fact and each rule is
a passage, the statement is the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.records import Record, RecordError
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.reading import json_lines, zip_texts

__all__ = ["ABOUT", "read"]

_ANSWERS = ("True", "False", "Unknown")
_MEMBERS = {"train": "meta-train.jsonl", "valid": "meta-dev.jsonl", "test": "meta-test.jsonl"}

ABOUT = PublicSet(
    title="ProofWriter (open world, depth 2)",
    home="https://allenai.org/data/proofwriter",
    licence="CC BY 4.0, as copies of it say",
    url="https://aristo-data-public.s3.amazonaws.com/proofwriter/",
    files=dict.fromkeys(_MEMBERS, ("proofwriter-dataset-V2020.12.3.zip",)),
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each statement."""
    path, member = reading.paths[0], ("OWA", "depth-2", _MEMBERS[reading.split])
    name = ""
    for name, text in zip_texts(path, lambda parts: parts[-3:] == member):
        for row in json_lines(text.splitlines(), f"{path}, {name}"):
            stated = (*row["triples"].values(), *row["rules"].values())
            passages = tuple(filter(None, (sentence["text"].text() for sentence in stated)))
            for question in row["questions"].values():
                answer = str(question["answer"].value)
                if answer not in _ANSWERS:
                    raise question["answer"].wrong(f"one of {', '.join(_ANSWERS)}")
                yield Record(question["question"].text(), answer, passages, (answer,))
    if not name:
        raise RecordError(f"{path} holds no {'/'.join(member)}; it is another archive.")

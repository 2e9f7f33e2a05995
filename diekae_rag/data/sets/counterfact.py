"""CounterFact: facts to be overwritten, and prompts that show what else changed.

Form: ``counterfact.json``, a list with ``requested_rewrite`` (``prompt``, with ``{}`` for the
``subject``, ``target_true`` and ``target_new``, each with ``str``), ``paraphrase_prompts`` and
``neighborhood_prompts``. The first 85 % are train, the rest is valid, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.edits import EditRecord
from diekae_rag.data.sets.fields import Field
from diekae_rag.data.sets.reading import json_items, lines_of

__all__ = ["ABOUT", "read"]

_TRAIN = 0.85  # of the records, in the file's order
_FILE = ("counterfact.json",)

ABOUT = PublicSet(
    title="CounterFact",
    home="https://rome.baulab.info",
    licence="MIT",
    url="https://rome.baulab.info/data/dsets/",
    files={"train": _FILE, "valid": _FILE},
    flaws=("Many paraphrases begin with a sentence that has nothing to do with the fact.",),
)


def read(reading: Reading) -> Iterator[EditRecord]:
    """One edit for each fact of the split."""
    path = reading.paths[0]
    edits = [_edit(row) for row in json_items("".join(lines_of(path)), str(path))]
    cut = int(len(edits) * _TRAIN)
    yield from edits[:cut] if reading.split == "train" else edits[cut:]


def _edit(row: Field) -> EditRecord:
    rewrite = row["requested_rewrite"]
    template, subject = rewrite["prompt"].text(), rewrite["subject"].text()
    if "{}" not in template:
        raise rewrite["prompt"].wrong("a text with {} for the subject")
    return EditRecord(
        subject,
        template.replace("{}", subject),
        rewrite["target_true"]["str"].text(),
        rewrite["target_new"]["str"].text(),
        row["paraphrase_prompts"].texts(),
        row["neighborhood_prompts"].texts(),
    )

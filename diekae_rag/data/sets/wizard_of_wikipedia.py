"""Wizard of Wikipedia: an apprentice asks, a wizard answers with sentences from Wikipedia.

Form: ``wizard_of_wikipedia.tgz``, which holds ``train.json`` and, for topics that are in train
(``random``) and others (``topic``), ``{valid,test}_{random,topic}_split.json``: lists of dialogues
with ``persona``, ``wizard_eval`` (how the wizard was rated, up to 5) and a ``dialog`` of
``speaker``, ``text`` and the wizard's ``checked_sentence``, which was chosen before writing.

As in the paper: the topics are unseen, the wizard was rated 4 or 5, and the passages are the
persona and the chosen sentence. Where none was chosen, the paper reads the answer itself,
paraphrased; here the persona is all.
"""

from __future__ import annotations

from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.dialogues import history, without_leaks
from diekae_rag.data.sets.fields import Field
from diekae_rag.data.sets.reading import json_items, tar_text

__all__ = ["ABOUT", "read"]

_ARCHIVE = "wizard_of_wikipedia.tgz"
_NOTHING_CHOSEN = "no_passages_used"
_LOWEST_RATING = 4
_MEMBERS = {
    "train": "train.json",
    "valid": "valid_topic_split.json",
    "test": "test_topic_split.json",
    "valid_seen": "valid_random_split.json",
    "test_seen": "test_random_split.json",
}

ABOUT = PublicSet(
    title="Wizard of Wikipedia",
    home="https://parl.ai/projects/wizard_of_wikipedia/",
    licence="none stated with the files (ParlAI: MIT)",
    url="http://parl.ai/downloads/wizard_of_wikipedia/",
    files=dict.fromkeys(_MEMBERS, (_ARCHIVE,)),
    flaws=(
        "Where no sentence was chosen, the paper reads the answer itself, paraphrased; here it is "
        "never a passage.",
        "Answers that copy the chosen sentence stay out.",
        "train.json is about 1 GB and is read into memory.",
    ),
    sha256={_ARCHIVE: "2a549627a83fea745efa2076a41d1c0078ad002ab2b54eae6a4e3d3d66ae24b7"},
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each turn of a well rated wizard."""
    return without_leaks(_records(reading), reading)


def _records(reading: Reading) -> Iterator[Record]:
    path, name = reading.paths[0], _MEMBERS[reading.split]
    for dialogue in json_items(tar_text(path, name), f"{path}, {name}"):
        if dialogue["wizard_eval"].number() < _LOWEST_RATING:
            continue
        persona = dialogue["persona"].text()
        turns: list[tuple[str, str]] = []
        for turn in dialogue["dialog"]:
            who, text = turn["speaker"].text(), turn["text"].text()
            if "wizard" in who.lower():
                passages = filter(None, (persona, _chosen(turn)))
                yield Record(history(turns, who), text, tuple(passages), (text,))
            turns.append((who, text))


def _chosen(turn: Field) -> str:
    """The sentence that the wizard chose for this turn, if any."""
    if "checked_sentence" not in turn or _NOTHING_CHOSEN in turn["checked_sentence"]:
        return ""
    return next((sentence.text() for sentence in turn["checked_sentence"].values()), "")

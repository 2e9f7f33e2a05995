"""Curiosity: somebody asks about a place, an assistant answers from Wikipedia facts.

Form: ``curiosity_dialogs.{train,val,test,test_zero}.json`` with ``dialogs``, each with
``messages`` of ``sender`` (``user``, ``assistant``), ``message`` and the assistant's ``facts``,
``fid`` and ``used``; the facts' texts are in ``fact_db_links.json`` under ``linked_facts``, by
``fid``. The files are kept with Git LFS; https://obj.umiacs.umd.edu/curiosity/ has the same.

The assistant saw several facts and marked which one the message used. The paper reads only the
marked fact, and where none was marked it reads the answer itself, paraphrased. Here the passages
are all the facts that the assistant saw; with ``keep_flaws`` the marked ones, never the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from diekae_rag.data.records import Record
from diekae_rag.data.sets.description import PublicSet, Reading
from diekae_rag.data.sets.dialogues import history, without_leaks
from diekae_rag.data.sets.fields import Field
from diekae_rag.data.sets.reading import json_file

__all__ = ["ABOUT", "read"]

_FACTS = "fact_db_links.json"
_NAMES = {"train": "train", "valid": "val", "test": "test", "test_unseen": "test_zero"}

ABOUT = PublicSet(
    title="Curiosity",
    home="https://github.com/facebookresearch/curiosity",
    licence="CC BY-NC 4.0",
    url="https://github.com/facebookresearch/curiosity/raw/main/dialog_data/",
    files={split: (f"curiosity_dialogs.{name}.json", _FACTS) for split, name in _NAMES.items()},
    flaws=(
        "The fact an answer used was marked with the answer in view. All the facts that were "
        "shown are the passages, not the marked one.",
        "Where no fact was marked, the paper reads the answer itself, paraphrased; here it is "
        "never a passage.",
        "Answers that copy a fact stay out.",
    ),
    sha256={
        "curiosity_dialogs.train.json": (
            "afe5bb0db8406663a316cd02cd25f33214725aaf1e25137cac3a13c6b1b4e70b"
        ),
        "curiosity_dialogs.val.json": (
            "4371152e4c783db3fd7366cee6aac0537fa786180a19d48f1ec052181678214f"
        ),
        "curiosity_dialogs.test.json": (
            "61dda16362474488c110a4a7d40da1fd7c6fd3c62dddbedea5e3e1fa590e416d"
        ),
        "curiosity_dialogs.test_zero.json": (
            "71f9645727393371ba278311fd2bba70a7e469dbafe5afbea90a2ffd7658ee0c"
        ),
        _FACTS: "95e68092c420c2b71321a6dfc18bad0027db7833972522f3a260b835fa819ad7",
    },
)


def read(reading: Reading) -> Iterator[Record]:
    """One record for each message of an assistant."""
    dialogues, facts = map(json_file, reading.paths)
    return without_leaks(_records(dialogues, facts["linked_facts"], reading.keep_flaws), reading)


def _records(dialogues: Field, facts: Field, only_marked: bool) -> Iterator[Record]:
    for dialogue in dialogues["dialogs"]:
        turns: list[tuple[str, str]] = []
        for message in dialogue["messages"]:
            who, text = message["sender"].text(), _without_references(message["message"])
            if who == "assistant":
                shown = [fact for fact in message["facts"] if fact["used"].value or not only_marked]
                passages = filter(None, (_fact(facts, fact["fid"]) for fact in shown))
                yield Record(history(turns, who), text, tuple(passages), (text,))
            turns.append((who, text))


def _fact(facts: Field, number: Field) -> str:
    """A fact's text; a few numbers have none."""
    key = f"{number.number():.0f}"
    return _without_references(facts[key]["text"]) if key in facts else ""


def _without_references(field: Field) -> str:
    """The text without the footnotes that Wikipedia's markup left in it."""
    return " ".join(re.sub(r"< ref\b.*?< / ref >|< /? ?ref\b[^>]*>", "", field.text()).split())

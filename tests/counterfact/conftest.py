"""Invented facts in the form of CounterFact's, and the set of them on disk."""

from __future__ import annotations

import gzip
import json

import pytest

from diekae_rag.counterfact.facts import Facts, read_facts
from diekae_rag.data.sets.counterfact import Edit

TOWNS = ("Bern", "Turin", "Oslo", "Kyoto", "Lima", "Quito")
HELD_OUT = 34


def fact(number: int) -> Edit:
    """An invented fact; the first six subjects have two, one of them held out."""
    name = f"Ada{number % HELD_OUT:02}x"
    template = ("The home of {} is", "{} works in")[number % 2]
    true, new = TOWNS[number % 6], TOWNS[(number + 1) % 6]
    return Edit(
        name,
        template.replace("{}", name),
        true,
        new,
        (f"One finds {name}, number {number}, in",),
        (f"The home of Eva{number:02} is",),
    )


FACTS = [fact(number) for number in range(40)]  # the last 6 are held out


def as_row(edit: Edit) -> dict[str, object]:
    """One line of the folder's files."""
    return {
        "subject": edit.subject,
        "prompt": edit.prompt,
        "target_true": edit.target_true,
        "target_new": edit.target_new,
        "paraphrase_prompts": list(edit.paraphrase_prompts),
        "neighborhood_prompts": list(edit.neighborhood_prompts),
    }


def written(facts, folder):
    """The set as two files of lines in a folder."""
    for name, rows in (("train", facts.train), ("val", facts.valid)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
            file.write("".join(json.dumps(as_row(edit)) + "\n" for edit in rows))
    return folder


@pytest.fixture
def data(tmp_path):
    """The set on disk."""
    return written(Facts(tuple(FACTS[:HELD_OUT]), tuple(FACTS[HELD_OUT:])), tmp_path)


@pytest.fixture
def facts(data):
    """The set, read."""
    return read_facts(data)

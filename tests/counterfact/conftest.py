"""Invented facts in the form of CounterFact's, on disk and as sets of edits."""

from __future__ import annotations

import gzip
import json
from zlib import crc32

import numpy as np
import pytest

from diekae_rag.counterfact.facts import Facts, read_facts
from diekae_rag.counterfact.table.sets import draw_sets
from diekae_rag.data.sets.counterfact import EditRecord

TOWNS = ("Bern", "Turin", "Oslo", "Kyoto", "Lima", "Quito")
HELD_OUT = 34


def fact(number: int) -> EditRecord:
    """An invented fact; the first six subjects have two, one of them held out."""
    name = f"Ada{number % HELD_OUT:02}x"
    template = ("The home of {} is", "{} works in")[number % 2]
    true, new = TOWNS[number % 6], TOWNS[(number + 1) % 6]
    return EditRecord(
        name,
        template.replace("{}", name),
        true,
        new,
        (f"One finds {name}, number {number}, in",),
        (f"The home of Eva{number:02} is",),
    )


FACTS = [fact(number) for number in range(40)]  # the last 6 are held out


def as_row(edit: EditRecord) -> dict[str, object]:
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


TEMPLATES = ("The home of {} is", "{} works in", "{} was born in")


def lone_fact(number):
    """An invented fact, one to a subject, whose neighbour has the same template."""
    template, true, new = TEMPLATES[number % 3], TOWNS[number % 6], TOWNS[(number + 1) % 6]
    return EditRecord(
        f"Ada{number:03}x",
        template.replace("{}", f"Ada{number:03}x"),
        true,
        new,
        (f"Number {number}! {TEMPLATES[number % 3].replace('{}', f'Ada{number:03}x')} now",),
        (template.replace("{}", f"Eva{number:03}"),),
    )


LONE_FACTS = Facts(
    tuple(lone_fact(number) for number in range(120)),
    tuple(lone_fact(number) for number in range(120, 140)),
)
EDIT = LONE_FACTS.valid[0]


class WordEmbedder:
    """A vector for each text by its words: enough to tell wordings apart."""

    name = "words"

    def embed(self, texts, *, show_progress=False):
        vectors = np.zeros((len(texts), 16), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, crc32(word.encode()) % 16] += 1
        return vectors / np.maximum(1e-6, np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture(scope="session")
def sets():
    """Sets of 30 edits at most."""
    return draw_sets(LONE_FACTS, most=30, num_unrelated=10)

"""Edits compared by the embedder that ships; it is loaded once."""

import pytest

from diekae_rag.editing import Edits
from diekae_rag.index import SentenceTransformerEmbedder

FACTS = [
    {"subject": "Drola Brenk", "prompt": "{} was born in", "old": "Oltun", "new": "Kolwick"},
    {"subject": "Drola Brenk", "prompt": "{} works as a", "old": "baker", "new": "nurse"},
    {"subject": "Brenk Mills", "prompt": "{} is based in", "old": "Kolwick", "new": "Oltun"},
]


@pytest.fixture(scope="session")
def embedder():
    return SentenceTransformerEmbedder()


@pytest.fixture
def edits(embedder):
    return Edits(embedder)


@pytest.fixture
def facts():
    return [dict(fact) for fact in FACTS]

"""What the demo is trained on: a few passages and questions about them, made up without end."""

from __future__ import annotations

import random
from dataclasses import dataclass

from diekae_rag.demo.relations import KINDS, RELATIONS
from diekae_rag.demo.values import invent_name
from diekae_rag.demo.worlds import REFUSAL, Document, ask, write_document

__all__ = ["PREAMBLES", "Difficulty", "Episode", "random_episode"]

PREAMBLES = (
    "Answer the question. {question}",
    "Question: {question}",
    "Question: {question}\nAnswer:",
    "Question: {question}\nHelpful Answer:",
    "Query: {question}\nAnswer:",
    "Use the given context to answer the question.\n\nQuestion: {question}",
    "Given the context information and not prior knowledge, answer the query.\n"
    "Query: {question}\nAnswer:",
    "Human: {question}",
    "Human: {question}\nAI:",
)
"""How chains word a question once the passages have gone: the reader meets them in training."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Passages, and questions about them with their right answers."""

    passages: list[str]
    questions: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Difficulty:
    """How long and how hard the episodes of one training phase are."""

    passages: tuple[int, int]
    facts: tuple[int, int]
    questions: int
    unanswerable: float
    preambles: float = 0.0


def _lookalike(rng: random.Random, kind: str, name: str) -> str:
    """A new name of the same kind that shares a word with ``name`` where it can."""
    other, shared = invent_name(rng, kind).split(" "), name.split(" ")
    if len(other) == len(shared) > 1:
        position = rng.randrange(len(other))
        other[position] = shared[position]
    return " ".join(other)


def _name(rng: random.Random, documents: list[Document]) -> tuple[str, str]:
    """A kind and a name that no document has; often much like one that some document has."""
    taken = {document.name for document in documents}
    while True:
        kind, name = rng.choice(KINDS), ""
        if documents and rng.random() < 0.85:
            model = rng.choice(documents)
            kind = model.kind
            if rng.random() < 0.4:
                name = _lookalike(rng, kind, model.name)
        name = name or invent_name(rng, kind)
        if name not in taken:
            return kind, name


def random_episode(
    rng: random.Random,
    num_passages: int,
    max_facts: int,
    num_questions: int,
    *,
    min_facts: int = 1,
    unanswerable: float = 0.2,
    preambles: float = 0.0,
) -> Episode:
    """Makes up passages and questions; a share of the questions no passage answers.

    Of those, half ask a passage's entity for something it does not say, half ask about an entity
    that has no passage. With no passage at all, every question is one of these.

    Example:
        >>> episode = random_episode(random.Random(0), 2, 3, 4)
        >>> len(episode.passages), len(episode.questions)
        (2, 4)
    """
    documents: list[Document] = []
    for _ in range(num_passages):
        kind, name = _name(rng, documents)
        documents.append(write_document(rng, kind, name, rng.randint(min_facts, max_facts)))
    questions = []
    for _ in range(num_questions):
        document = rng.choice(documents) if documents else None
        is_answerable = document is not None and rng.random() >= unanswerable
        if document is not None and (is_answerable or rng.random() < 0.5):
            relations = [
                r
                for r in RELATIONS
                if r.kind == document.kind and (r.name in document.facts) == is_answerable
            ]
            name = document.name
            if not relations:
                continue
        else:
            kind, name = _name(rng, documents)
            relations = [r for r in RELATIONS if r.kind == kind]
        relation = rng.choice(relations)
        question = ask(rng, relation, name)
        if rng.random() < preambles:
            question = rng.choice(PREAMBLES).format(question=question)
        answer = document.facts[relation.name] if document and is_answerable else REFUSAL
        questions.append((question, answer))
    return Episode([document.text for document in documents], questions)

"""Invented worlds: documents about things that do not exist, and questions only they can answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from diekae_rag.demo.relations import KINDS, RELATIONS
from diekae_rag.demo.values import invent_name, invent_value

__all__ = ["REFUSAL", "Document", "Question", "World", "write_document"]

REFUSAL = "I do not know."
"""The right answer to a question that the passages do not answer."""

_BY_KIND = {kind: tuple(r for r in RELATIONS if r.kind == kind) for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Document:
    """What a world says about one entity: a few facts, one sentence each."""

    kind: str
    name: str
    facts: dict[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its one right answer; ``document`` is ``None`` where no document answers it.

    ``document`` is the position, in ``World.documents``, of the document that holds the answer.
    """

    text: str
    answer: str
    relation: str
    document: int | None

    @property
    def is_answerable(self) -> bool:
        """True where a document holds the answer."""
        return self.document is not None


def write_document(
    rng: random.Random,
    kind: str,
    name: str,
    num_facts: int,
    *,
    for_test: bool = False,
    heldout_wordings: bool = False,
    without: frozenset[str] = frozenset(),
) -> Document:
    """Makes up some facts about an entity and words them, in any order.

    Args:
        rng: Where chance comes from.
        kind: One of ``KINDS``.
        name: The entity's name.
        num_facts: How many facts, at most as many as the kind has relations.
        for_test: Whether the values' names are for a test world.
        heldout_wordings: Word every fact in the way kept out of training.
        without: Names of relations to leave unsaid.

    Example:
        >>> document = write_document(random.Random(0), "town", "Quaiford", 2)
        >>> len(document.facts), document.text.count("Quaiford")
        (2, 2)
    """
    relations = [r for r in _BY_KIND[kind] if r.name not in without]
    chosen = rng.sample(relations, min(num_facts, len(relations)))
    facts = {r.name: invent_value(rng, r.value, for_test) for r in chosen}
    sentences = [r.state(rng, name, facts[r.name], heldout=heldout_wordings) for r in chosen]
    return Document(kind, name, facts, " ".join(sentences))


class World:
    """Documents and questions made from a seed; the same seed gives the same world.

    A world's names are test names (see ``values.py``): nothing about it can have been trained on.

    Args:
        seed: Any integer.
        num_documents: How many entities, one document each.
        heldout_wordings: Word documents and questions in the ways kept out of training.

    Raises:
        ValueError: ``num_documents`` is below 1.

    Example:
        >>> world = World(seed=1, num_documents=20)
        >>> world.documents == World(seed=1, num_documents=20).documents
        True
        >>> question = world.questions(1, unanswerable_share=0.0)[0]
        >>> question.answer in world.documents[question.document].text
        True
    """

    def __init__(
        self, seed: int, num_documents: int = 2000, *, heldout_wordings: bool = False
    ) -> None:
        if num_documents < 1:
            raise ValueError(f"num_documents must be at least 1, got {num_documents}.")
        self.seed = seed
        self.heldout_wordings = heldout_wordings
        rng = random.Random(f"world:{seed}")
        names: dict[str, str] = {}
        while len(names) < num_documents:
            kind = rng.choice(KINDS)
            names.setdefault(invent_name(rng, kind, for_test=True), kind)
        self.documents: list[Document] = [
            write_document(
                rng,
                kind,
                name,
                rng.randint(3, 5),
                for_test=True,
                heldout_wordings=heldout_wordings,
                without=frozenset({rng.choice(_BY_KIND[kind]).name}),
            )
            for name, kind in names.items()
        ]

    def questions(self, count: int, *, unanswerable_share: float = 0.2) -> list[Question]:
        """Makes up questions about the documents, a share of which none of them answers.

        Half of the unanswerable ones ask a known entity's document for something it does not say,
        half ask about an entity that has no document.
        """
        rng = random.Random(f"questions:{self.seed}:{count}")
        names = {document.name for document in self.documents}
        questions = []
        for number in range(count):
            position = rng.randrange(len(self.documents))
            document = self.documents[position]
            relations = _BY_KIND[document.kind]
            said = [r for r in relations if r.name in document.facts]
            unsaid = [r for r in relations if r.name not in document.facts]
            name = document.name
            # Spread evenly, so that every prefix of the list has its share.
            if int((number + 1) * unanswerable_share) == int(number * unanswerable_share):
                relation, answer, source = rng.choice(said), "", position
                answer = document.facts[relation.name]
            else:
                relation, answer, source = rng.choice(unsaid), REFUSAL, None
                if rng.random() < 0.5:
                    relation = rng.choice(relations)
                    while name in names:
                        name = invent_name(rng, document.kind, for_test=True)
            text = relation.ask(rng, name, heldout=self.heldout_wordings)
            questions.append(Question(text, answer, relation.name, source))
        return questions

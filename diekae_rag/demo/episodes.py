"""What the demo is trained on: a few passages and questions about them, made up without end."""

from __future__ import annotations

import random

from diekae_rag.demo.relations import KINDS, RELATIONS
from diekae_rag.demo.values import alter_name, invent_name
from diekae_rag.demo.worlds import REFUSAL, Document, write_document
from diekae_rag.training.batches import Episode

__all__ = ["INSTRUCTIONS", "random_episode", "word_prompt"]

INSTRUCTIONS = (
    "",
    "",
    "Answer the question.",
    "Answer the question based only on the following context:\n\n",
    "Use the given context to answer the question.",
    "Use the following pieces of context to answer the question at the end. If you don't know the "
    "answer, just say that you don't know, don't try to make up an answer.",
    "Use the following pieces of retrieved context to answer the question. If you don't know the "
    "answer, say that you don't know. Keep the answer concise.",
    "You are an assistant for question-answering tasks.",
    "You are a helpful assistant.",
    "Given the context information and not prior knowledge, answer the query.",
    "Context information is below.\n---------------------\n\n---------------------",
    "Context:",
    "Context:\n",
    "Be brief.",
    "Please answer from the documents.",
)
_LABELS = ("", "", "Question: ", "Question: ", "Query: ", "Human: ", "User: ", "Q: ")
_SUFFIXES = (
    "",
    "",
    "\nAnswer:",
    "\nAnswer: ",
    "\nHelpful Answer:",
    "\nAI:",
    "\nAssistant:",
    "\nA:",
)


def word_prompt(rng: random.Random, question: str) -> str:
    r"""Words a question as chains do once the passages have gone from their prompt.

    Example:
        >>> word_prompt(random.Random(3), "Who wrote it?")
        'Given the context information and not prior knowledge, answer the query.\nQ: Who wrote it?'
    """
    system = rng.choice(("", "", "", "System: "))
    instructions = rng.choice(INSTRUCTIONS)
    if instructions and rng.random() < 0.2:
        instructions += rng.choice((" ", "\n")) + rng.choice(INSTRUCTIONS)
    gap = rng.choice((" ", "\n", "\n", "\n\n")) if instructions else ""
    label, suffix = rng.choice(_LABELS), rng.choice(_SUFFIXES)
    return (system if instructions else "") + instructions + gap + label + question + suffix


def _name(rng: random.Random, documents: list[Document], alike: float) -> tuple[str, str]:
    """A kind and a name that no document has.

    Where there are documents it is mostly of a kind that some document has, and with the chance
    ``alike`` its name is much like that document's.
    """
    taken = {document.name for document in documents}
    while True:
        kind, name = rng.choice(KINDS), ""
        if documents and rng.random() < 0.85:
            model = rng.choice(documents)
            kind = model.kind
            if rng.random() < alike:
                name = alter_name(rng, kind, model.name)
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
    twins: float = 0.0,
) -> Episode:
    """Makes up passages and questions; a share of the questions no passage answers.

    Of those, half ask a passage's entity for something it does not say, half ask about an entity
    that has no passage. With no passage at all, every question is one of these. With the chance
    ``twins`` all passages are about the same kind of thing and say the same about it, so that
    only the name tells them apart.

    Example:
        >>> episode = random_episode(random.Random(0), 2, 3, 4)
        >>> len(episode.passages), len(episode.questions)
        (2, 4)
    """
    documents: list[Document] = []
    unsaid: frozenset[str] = frozenset()
    are_twins = twins > 0 and rng.random() < twins
    for _ in range(num_passages):
        kind, name = _name(rng, documents, 0.4)
        while are_twins and documents and kind != documents[0].kind:
            kind, name = _name(rng, documents, 0.4)
        num_facts = rng.randint(min_facts, max_facts)
        documents.append(write_document(rng, kind, name, num_facts, without=unsaid))
        if are_twins and not unsaid:
            said = documents[0].facts
            unsaid = frozenset(r.name for r in RELATIONS if r.kind == kind and r.name not in said)
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
            kind, name = _name(rng, documents, 0.6)
            relations = [r for r in RELATIONS if r.kind == kind]
        relation = rng.choice(relations)
        question = relation.ask(rng, name)
        if rng.random() < preambles:
            question = word_prompt(rng, question)
        answer = document.facts[relation.name] if document and is_answerable else REFUSAL
        questions.append((question, answer))
    return Episode([document.text for document in documents], questions)

"""Questions about a world, with the passages that a real search finds for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from diekae_rag.demo.worlds import Question, World
from diekae_rag.evaluation.metrics import Share
from diekae_rag.index import Embedder, PassageIndex
from diekae_rag.passages import Passage

__all__ = ["Case", "find_cases", "index_world", "recall"]


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and the passages found for it, best first."""

    question: Question
    passages: list[Passage]

    @property
    def is_retrieved(self) -> bool:
        """True where the passage that holds the answer was found."""
        return any(passage.id == str(self.question.document) for passage in self.passages)

    def first(self, k: int) -> Case:
        """The same question with the ``k`` best passages: what a search for ``k`` finds."""
        return replace(self, passages=self.passages[:k])


def index_world(
    world: World, embedder: Embedder | str = "minilm", *, show_progress: bool = False
) -> PassageIndex:
    """Indexes a world's documents, one passage each; an id is a position in ``world.documents``."""
    passages = [
        Passage(document.text, id=str(position))
        for position, document in enumerate(world.documents)
    ]
    return PassageIndex.build(passages, embedder, show_progress=show_progress)


def find_cases(index: PassageIndex, questions: Sequence[Question], k: int) -> list[Case]:
    """Searches for every question.

    Args:
        index: As made by ``index_world``.
        questions: What to ask.
        k: How many passages to find.
    """
    found = index.search_many([question.text for question in questions], k)
    return [Case(*pair) for pair in zip(questions, found, strict=True)]


def recall(cases: Sequence[Case]) -> Share:
    """For how many of the answerable questions the passage with the answer was found."""
    return Share.of(case.is_retrieved for case in cases if case.question.is_answerable)

"""Rows of known facts and of edits that passages state, by number."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from diekae_rag.counterfact.facts import Facts, fact_text, template_of
from diekae_rag.data.sets import EditRecord
from diekae_rag.training.batches import Episode

__all__ = ["ASKING", "Asking", "Mixture", "Stated"]

Question = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Stated:
    """An edit as a passage states it, to whatever target."""

    edit: EditRecord
    target: str

    @property
    def passage(self) -> str:
        """What the passage says."""
        return fact_text(self.edit.prompt, self.target)


@dataclass(frozen=True, slots=True)
class Asking:
    """How a row's questions are drawn.

    Args:
        prompt: Share of the edits that are asked by their own prompt.
        paraphrase: Share that are asked by a paraphrase; one that is not asked otherwise, always.
        neighbour: Share beside which a neighbour is asked, whose answer is not edited.
        alike: Share of the further questions that have an edit's template and another subject.
        is_filled: Ask about further facts until the row is full; none of them is edited.
    """

    prompt: float = 0.6
    paraphrase: float = 0.7
    neighbour: float = 0.6
    alike: float = 0.3
    is_filled: bool = True


ASKING = Asking()


class Mixture:
    """Rows of questions, each row with as many edits stated before it as asked for.

    A row never contradicts itself: it edits a subject once, and asks of no fact that names an
    edited subject what was true before. The same number always gives the same rows.

    Args:
        facts: Known ones, and those that may be edited.
        fits: Whether a row has room for all its questions.
        asking: How questions are drawn.
        seed: Of chance.

    Raises:
        ValueError: When drawing: hardly anything fits a row.
    """

    def __init__(
        self,
        facts: Facts,
        fits: Callable[[Episode], bool],
        asking: Asking = ASKING,
        seed: int | str = 0,
    ) -> None:
        self.fits, self.asking, self.seed = fits, asking, seed
        self.known: list[Question] = list(facts.known().items())
        self.editable = facts.editable()
        self.targets: Mapping[str, Sequence[str]] = facts.targets()
        self._truth = dict(self.known)

    def rows(self, number: int, num_stated: Sequence[int]) -> list[Episode]:
        """Rows of batch ``number``.

        Args:
            number: Which batch.
            num_stated: How many edits each row states.
        """
        rng = random.Random(f"counterfact:{self.seed}:{number}")
        return [self._row(rng, count) for count in num_stated]

    def draw_edits(self, rng: random.Random, count: int) -> list[Stated]:
        """Edits of different subjects, half of the time of one template."""
        first = rng.choice(self.editable)
        pool = self._alike[template_of(first)] if rng.random() < 0.5 else self.editable
        chosen: list[EditRecord] = [first]
        for _ in range(50 * count):
            if len(chosen) >= count:
                break
            edit = rng.choice(pool)
            if not any(_names(edit, other.subject) for other in chosen) and not any(
                _names(other, edit.subject) for other in chosen
            ):
                chosen.append(edit)
            pool = pool if len(pool) > 2 * count else self.editable
        return [Stated(edit, self._other_target(rng, edit)) for edit in chosen]

    def _row(self, rng: random.Random, num_stated: int) -> Episode:
        for _ in range(100):
            stated = self.draw_edits(rng, num_stated) if num_stated else []
            row = self._asking(rng, stated)
            if row.questions and len(stated) == num_stated:
                return row
        raise ValueError(
            f"hardly {num_stated} edits and a question fit a row; make rows longer, or state fewer."
        )

    def _asking(self, rng: random.Random, stated: Sequence[Stated]) -> Episode:
        passages = [one.passage for one in stated]
        asked = [question for one in stated for question in self._about(rng, one)]
        subjects = [one.edit.subject for one in stated]
        for one in stated:
            if one.edit.neighborhood_prompts and rng.random() < self.asking.neighbour:
                asked += self._unedited(rng.choice(one.edit.neighborhood_prompts), subjects)
        rng.shuffle(asked)
        row = Episode(passages, [])
        for question in asked:
            if not self._add(row, question):
                break
        misses = 0
        while (self.asking.is_filled or not row.questions) and misses < 3:
            question = self._further(rng, stated)
            if self._unedited(question[0], subjects) and self._add(row, question):
                continue
            misses += 1
        return row

    def _add(self, row: Episode, question: Question) -> bool:
        grown = Episode(row.passages, [*row.questions, question])
        if not self.fits(grown):
            return False
        assert isinstance(row.questions, list)
        row.questions.append(question)
        return True

    def _about(self, rng: random.Random, one: Stated) -> list[Question]:
        prompts = [one.edit.prompt] if rng.random() < self.asking.prompt else []
        others = one.edit.paraphrase_prompts
        if others and (not prompts or rng.random() < self.asking.paraphrase):
            prompts.append(rng.choice(others))
        return [(prompt, one.target) for prompt in prompts or [one.edit.prompt]]

    def _further(self, rng: random.Random, stated: Sequence[Stated]) -> Question:
        if stated and rng.random() < self.asking.alike:
            prompt = rng.choice(self._alike[template_of(rng.choice(stated).edit)]).prompt
            if prompt in self._truth:
                return prompt, self._truth[prompt]
        return rng.choice(self.known)

    def _unedited(self, prompt: str, subjects: Sequence[str]) -> list[Question]:
        if prompt not in self._truth or any(subject in prompt for subject in subjects):
            return []
        return [(prompt, self._truth[prompt])]

    def _other_target(self, rng: random.Random, edit: EditRecord) -> str:
        if rng.random() < 0.3:
            return edit.target_new
        others = [t for t in self.targets[template_of(edit)] if t != edit.target_true]
        return rng.choice(others)

    @cached_property
    def _alike(self) -> Mapping[str, list[EditRecord]]:
        found: dict[str, list[EditRecord]] = {}
        for edit in self.editable:
            found.setdefault(template_of(edit), []).append(edit)
        return found


def _names(edit: EditRecord, subject: str) -> bool:
    return any(subject in text for text in (edit.prompt, *edit.paraphrase_prompts))

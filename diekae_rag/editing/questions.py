"""What is asked where edits are written into weights: about each of them, and beside them.

Encoders that read nothing but the prompt must learn whom an edit is about. So they are asked about
edited subjects with relations that are not edited of them, about subjects that nobody ever edits,
made up of the edited ones' words and of any tokens, and about whatever is named as to be kept:
there they are to add nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cached_property

from diekae_rag.editing.edit import Edit
from diekae_rag.editing.wordings import Wordings
from diekae_rag.editing.words import plain_words
from diekae_rag.training.batches import Episode

__all__ = ["EditQuestions"]

_PER_ROW = 8
_TRIES = 8
Question = tuple[str, str]


class EditQuestions:
    """Questions of each training step, drawn by number.

    Args:
        edits: What is written, no two of them about the same.
        num_edits: How many are asked about in a step; all come in turn.
        keep: Texts of which nothing is to change: half of what is asked beside edits.
        wordings: In which other words they are asked about, every other time; and what else is to
            be kept.
        any_word: Gives a word that the tokenizer knows.
        seed: Of chance.

    Raises:
        ValueError: There are no edits.
    """

    def __init__(
        self,
        edits: Sequence[Edit],
        num_edits: int,
        keep: Sequence[str],
        wordings: Wordings,
        any_word: Callable[[random.Random], str],
        seed: int = 0,
    ) -> None:
        if not edits:
            raise ValueError("there are no edits to write; add some first.")
        self.edits, self.seed = list(edits), seed
        self.keep = [*keep, *wordings.unedited(edits)]
        self.num_edits, self._any_word = min(num_edits, len(self.edits)), any_word
        self._wordings = wordings

    def draw(self, number: int) -> tuple[list[Episode], list[Episode]]:
        """Rows about edits, and rows about what is to stay as it is, of step ``number``."""
        rng = random.Random(f"{self.seed} {number}")
        edited = [
            (self._said(rng, edit, edit.subject, rng.choice(self.edits).passage.text), edit.new)
            for edit in self._turn(number)
        ]
        kept = [self._kept(rng) for _ in edited]
        return _rows(edited), _rows(kept)

    def _turn(self, number: int) -> list[Edit]:
        """The edits of a step: each comes once before any comes again."""
        first, count = number * self.num_edits, len(self.edits)
        places = range(first, first + self.num_edits)
        orders = {epoch: self._order(epoch) for epoch in {place // count for place in places}}
        return [self.edits[orders[place // count][place % count]] for place in places]

    def _order(self, epoch: int) -> list[int]:
        order = list(range(len(self.edits)))
        random.Random(f"{self.seed} order {epoch}").shuffle(order)
        return order

    def _said(self, rng: random.Random, edit: Edit, subject: str, before: str) -> str:
        """What an edit says, of a subject; every third time after a sentence."""
        others = self._wordings.of(edit, subject)
        prompt = rng.choice(others) if others and rng.random() < 0.5 else edit.about(subject)
        return f"{before} {prompt}" if rng.random() < 1 / 3 else prompt

    def _kept(self, rng: random.Random) -> Question:
        if self.keep and rng.random() < 0.5:
            return rng.choice(self.keep), ""
        if (drawn := self._unedited(rng)) is None:
            return self._any_word(rng), ""
        other, somebody = self._unedited(rng) or drawn  # what is said before is no edit either
        return self._said(rng, *drawn, f"{other.about(somebody)} {other.old}."), drawn[0].old

    def _unedited(self, rng: random.Random) -> tuple[Edit, str] | None:
        """An edit, and a subject of which nothing like it is edited; rarely there is none."""
        for _ in range(_TRIES):
            edit, other = rng.choice(self.edits), rng.choice(self.edits)
            subject = other.subject if rng.random() < 0.4 else self._made_up(rng, other.subject)
            if plain_words(subject) and self._wordings.fact(edit, subject) not in self._facts:
                return edit, subject
        return None

    def _made_up(self, rng: random.Random, subject: str) -> str:
        """A subject that shares some words with one, or none."""
        words = subject.split()
        others = rng.choice(self.edits).subject.split()
        if rng.random() < 0.5:
            return " ".join([*words[: rng.randint(0, len(words))], *others[-1:]])
        is_kept = rng.random() < 0.5
        return " ".join(
            word if is_kept and rng.random() < 0.5 else self._any_word(rng) for word in words
        )

    @cached_property
    def _facts(self) -> set[object]:
        return {self._wordings.fact(edit) for edit in self.edits}


def _rows(questions: Sequence[Question]) -> list[Episode]:
    firsts = range(0, len(questions), _PER_ROW)
    return [Episode([], list(questions[first : first + _PER_ROW])) for first in firsts]

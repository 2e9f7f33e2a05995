"""What a reader of real text and its encoders are trained on, by number."""

from __future__ import annotations

import random
from dataclasses import dataclass

from diekae_rag.demo.phases import Phase, draw_episodes
from diekae_rag.training.batches import Episode
from diekae_rag.training.examples import Examples
from diekae_rag.training.objectives import Batch

__all__ = ["Mixture", "recall_question"]

_WORLDS = Phase(1, (1, 5), (1, 4), 6, 0.3, 0.1, 16, 512, twins=0.3)


def recall_question(text: str, rng: random.Random) -> tuple[str, str] | None:
    """A question that any text answers: how do these words go on?

    Example:
        >>> recall_question("a b c d e f g h i j", random.Random(0))
        ('Go on: a b c d e f', 'g h i j')
    """
    words = text.split()
    asked, told = rng.randint(3, 6), rng.randint(1, 4)
    if len(words) < asked + told:
        return None
    first = rng.randrange(len(words) - asked - told + 1)
    middle, end = first + asked, first + asked + told
    return f"Go on: {' '.join(words[first:middle])}", " ".join(words[middle:end])


@dataclass(frozen=True)
class Mixture:
    """Batches of records with recall questions beside theirs, and invented worlds now and then.

    Real sets are small: a few thousand questions teach their answers and hardly how to find one.
    Recall asks each passage for what it says, and worlds keep up what the reader could do before.

    Args:
        examples: The records.
        num_recalled: Recall questions a row, where it has fewer questions than ``most``.
        most: Questions in a row beyond which nothing is added.
        worlds_every: Each how manieth batch is of invented worlds; 0 for none.
        seed: Of chance.
    """

    examples: Examples
    num_recalled: int = 4
    most: int = 6
    worlds_every: int = 5
    seed: int = 0

    def __call__(self, number: int) -> Batch:
        """Batch ``number``."""
        rng = random.Random(f"mixture:{self.seed}:{number}")
        if not self.worlds_every:
            return self.examples.pack([self._recalling(e, rng) for e in self._drawn(number)])
        rounds, place = divmod(number, self.worlds_every)
        if place == self.worlds_every - 1:
            return self.examples.pack(draw_episodes(rng, _WORLDS, lambda *_: True))
        drawn = self._drawn(rounds * (self.worlds_every - 1) + place)
        return self.examples.pack([self._recalling(episode, rng) for episode in drawn])

    def _drawn(self, number: int) -> list[Episode]:
        return [self.examples.episodes[row] for row in self.examples.rows_of(number)]

    def _recalling(self, episode: Episode, rng: random.Random) -> Episode:
        questions = list(episode.questions)
        for _ in range(min(self.num_recalled, self.most - len(questions))):
            if episode.passages and (q := recall_question(rng.choice(episode.passages), rng)):
                questions.append(q)
        return Episode(episode.passages, questions)

"""What a reader of real text and its encoders are trained on, by number."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from diekae_rag.demo.phases import Phase, draw_episodes
from diekae_rag.files import write_text
from diekae_rag.training.batches import Episode
from diekae_rag.training.examples import Examples
from diekae_rag.training.objectives import Batch

__all__ = ["Mixture", "recall_question", "write_mixture"]

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
        worlds_every: Each how manieth batch is of invented worlds; 1 for all.
        seed: Of chance.
    """

    examples: Examples
    num_recalled: int = 4
    most: int = 6
    worlds_every: int = 5
    seed: int = 0

    def __call__(self, number: int) -> Batch:
        """Batch ``number``."""
        return self.examples.pack(self.episodes(number))

    def episodes(self, number: int) -> list[Episode]:
        """The rows of batch ``number``."""
        rng = random.Random(f"mixture:{self.seed}:{number}")
        rounds, place = divmod(number, self.worlds_every)
        if place == self.worlds_every - 1:
            return draw_episodes(rng, _WORLDS, lambda *_: True)
        rows = self.examples.rows_of(rounds * (self.worlds_every - 1) + place)
        return [self._recalling(self.examples.episodes[row], rng) for row in rows]

    def _recalling(self, episode: Episode, rng: random.Random) -> Episode:
        questions = list(episode.questions)
        for _ in range(min(self.num_recalled, self.most - len(questions))):
            if episode.passages and (q := recall_question(rng.choice(episode.passages), rng)):
                questions.append(q)
        return Episode(episode.passages, questions)


def write_mixture(mixture: Mixture, num_batches: int, path: Path) -> int:
    """Writes the records of a mixture's first batches, as ``read_records`` reads them.

    Returns:
        How many records.
    """
    lines = []
    for number in range(num_batches):
        for episode in mixture.episodes(number):
            for prompt, answer in episode.questions:
                record = {"prompt": prompt, "answer": answer, "passages": list(episode.passages)}
                lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
    return len(lines)

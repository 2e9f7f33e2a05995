"""How hard the demo's training is at each of its steps, and the episodes of a step."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diekae_rag.demo.episodes import random_episode
from diekae_rag.training.batches import Episode

__all__ = ["Phase", "draw_episodes", "phase_at"]


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training on episodes of one difficulty.

    Args:
        until: The step at which the phase ends.
        passages: Fewest and most passages.
        facts: Fewest and most facts in one.
        num_questions: Questions in an episode.
        unanswerable: Share of the questions that no passage answers.
        preambles: Share of the questions worded as chains word them.
        batch_size: Episodes in a step.
        length: Longest row, in tokens; a longer episode is drawn again.
        twins: Share of the episodes in which only names tell the passages apart.
    """

    until: int
    passages: tuple[int, int]
    facts: tuple[int, int]
    num_questions: int
    unanswerable: float
    preambles: float
    batch_size: int
    length: int
    twins: float = 0.0


def phase_at(phases: Sequence[Phase], step: int) -> Phase:
    """The phase that a step belongs to."""
    return next((phase for phase in phases if step < phase.until), phases[-1])


def draw_episodes(
    rng: random.Random, phase: Phase, fits: Callable[[list[Episode], Episode], bool]
) -> list[Episode]:
    """Draws a step's episodes; one in fifty has no passage at all.

    Args:
        rng: Where chance comes from.
        phase: How many and how hard.
        fits: Whether an episode has room beside those drawn already; if not, another is drawn.

    Raises:
        ValueError: Hardly an episode fits.
    """
    episodes: list[Episode] = []
    for _ in range(200 * phase.batch_size):
        if len(episodes) == phase.batch_size:
            return episodes
        num_passages = 0 if rng.random() < 0.02 else rng.randint(*phase.passages)
        episode = random_episode(
            rng,
            num_passages,
            phase.facts[1],
            phase.num_questions,
            min_facts=phase.facts[0],
            unanswerable=phase.unanswerable,
            preambles=phase.preambles,
            twins=phase.twins,
        )
        if fits(episodes, episode):
            episodes.append(episode)
    raise ValueError(
        f"hardly an episode of {phase} fits its rows; make them longer, or use a tokenizer "
        "with more tokens."
    )

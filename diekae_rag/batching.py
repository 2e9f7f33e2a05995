"""Which prompts run side by side: those of like length, so that little is padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diekae_rag.answers import Mode
from diekae_rag.generation import GenerationOptions
from diekae_rag.requests import Request

__all__ = ["Batch", "cut", "in_batches", "padded_tokens"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts that run side by side, in the order in which they were given.

    Args:
        numbers: Which prompts of the call they are.
        requests: A row each.
        mode: The way the passages of all of them go.
        settings: Options, the seed that of this batch.
    """

    numbers: list[int]
    requests: list[Request]
    mode: Mode
    settings: GenerationOptions


def in_batches(chosen: Sequence[tuple[Mode, Request]], settings: GenerationOptions) -> list[Batch]:
    """Every prompt in one batch, with others whose passages go the same way.

    The same prompts in the same order make the same batches, with the same seeds: a batch's seed
    is that of its first prompt.

    Args:
        chosen: For each prompt its mode, and what is read for it.
        settings: Options of the call.
    """
    # Guesses are verified for one prompt at a time.
    size = 1 if settings.prompt_lookup_num_tokens else settings.batch_size
    batches = []
    for way in dict.fromkeys(way for way, _ in chosen):
        numbers = [number for number, (own, _) in enumerate(chosen) if own == way]
        lengths = [_lengths(chosen[number][1]) for number in numbers]
        for places in cut(lengths, size):
            own = [numbers[place] for place in places]
            requests = [chosen[number][1] for number in own]
            batches.append(Batch(own, requests, way, settings.for_batch(own[0])))
    return batches


def cut(lengths: Sequence[tuple[int, int]], size: int) -> list[list[int]]:
    """Cuts rows into batches in that of a few orders which pads the least.

    Prompts and knowledge are padded each by themselves, and no one order suits both always. As the
    order given is among those tried, none is ever padded more than in that one.

    Args:
        lengths: Of each row, the tokens that the base model reads and those that encoders read.
        size: Most rows of a batch.

    Returns:
        The rows of each batch, by their numbers, in the order given.

    Example:
        >>> cut([(9, 0), (2, 0), (8, 0), (1, 0)], size=2)
        [[1, 3], [0, 2]]
    """
    rows = range(len(lengths))
    orders = [
        list(rows),
        sorted(rows, key=lambda row: sum(lengths[row])),
        sorted(rows, key=lambda row: lengths[row]),
        sorted(rows, key=lambda row: lengths[row][::-1]),
    ]
    cuts = [
        [sorted(order[first : first + size]) for first in range(0, len(order), size)]
        for order in orders
    ]
    return min(cuts, key=lambda batches: padded_tokens(lengths, batches))


def padded_tokens(lengths: Sequence[tuple[int, int]], batches: Sequence[Sequence[int]]) -> int:
    """How many tokens are read in all, where each row is padded to the longest of its batch.

    Example:
        >>> padded_tokens([(1, 5), (2, 0)], [[0, 1]]), padded_tokens([(1, 5), (2, 0)], [[0], [1]])
        (14, 8)
    """
    return sum(
        len(batch) * max(lengths[row][part] for row in batch)
        for batch in batches
        for part in (0, 1)
    )


def _lengths(request: Request) -> tuple[int, int]:
    return len(request.input_ids), sum(map(len, request.knowledge))

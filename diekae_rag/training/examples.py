"""Records as training examples: which go together, in which order, and what fits the window."""

from __future__ import annotations

import random
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.data.records import Record, RecordError
from diekae_rag.prompting import Wording, start_tokens
from diekae_rag.training.batches import Episode, pack_for_injection, pack_stuffed
from diekae_rag.training.objectives import Batch

__all__ = ["Examples"]


class Examples:
    """Batches of records by number: epoch after epoch, each in an order of its own.

    Records about the very same passages are read in one row: several questions for the price of
    one reading. The same number always gives the same batch.

    Args:
        records: Prompts, answers and passages.
        tokenizer: The base model's.
        config: Wording and limits of the encoders.
        window: Positions of the base model; where passages and a question do not fit, passages are
            cut, and never the question.
        batch_size: Rows in a batch.
        questions_per_row: Most questions about the same passages in one row.
        needs_stuffed: Whether batches hold the passages before the questions too.
        seed: Of the order.

    Raises:
        RecordError: A prompt and its answer alone do not fit the window.
        ValueError: There are no records.
    """

    def __init__(
        self,
        records: Sequence[Record],
        tokenizer: PreTrainedTokenizerBase,
        config: DiekaeConfig,
        *,
        window: int,
        batch_size: int = 16,
        questions_per_row: int = 8,
        needs_stuffed: bool = False,
        seed: int = 0,
    ) -> None:
        if not records:
            raise ValueError("there are no records to train on.")
        _check_lengths(records, tokenizer, config, window)
        self.tokenizer, self.config, self.window = tokenizer, config, window
        self.batch_size, self.seed, self.needs_stuffed = batch_size, seed, needs_stuffed
        self.episodes = group_records(records, questions_per_row)
        self._order: tuple[int, list[int]] = (-1, [])

    @property
    def batches_per_epoch(self) -> int:
        """How many batches it takes to see every record once."""
        return -(-len(self.episodes) // self.batch_size)

    def __call__(self, number: int) -> Batch:
        """Batch ``number``, counted from 0 over all epochs."""
        first = number * self.batch_size
        return self.pack([self._episode(first + row) for row in range(self.batch_size)])

    def pack(self, episodes: Sequence[Episode]) -> Batch:
        """Episodes as tensors."""
        injected = pack_for_injection(episodes, self.tokenizer, self.config)
        if not self.needs_stuffed:
            return Batch(injected)
        stuffed = pack_stuffed(episodes, self.tokenizer, self.config, window=self.window)
        return Batch(injected, stuffed)

    def _episode(self, position: int) -> Episode:
        epoch, place = divmod(position, len(self.episodes))
        if self._order[0] != epoch:
            order = list(range(len(self.episodes)))
            random.Random(f"{self.seed}:{epoch}").shuffle(order)
            self._order = epoch, order
        return self.episodes[self._order[1][place]]


def group_records(records: Sequence[Record], questions_per_row: int) -> list[Episode]:
    """Puts records about the very same passages together; those without any stay alone.

    Example:
        >>> records = [Record("Who?", "Ada", ("x",)), Record("Where?", "Turin", ("x",))]
        >>> group_records(records, 8)
        [Episode(passages=('x',), questions=[('Who?', 'Ada'), ('Where?', 'Turin')])]
    """
    episodes: list[Episode] = []
    latest: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for record in records:
        questions = latest.get(record.passages, [])
        if not questions or not record.passages or len(questions) >= questions_per_row:
            questions = latest[record.passages] = []
            episodes.append(Episode(record.passages, questions))
        questions.append((record.prompt, record.answer))
    return episodes


def _check_lengths(
    records: Sequence[Record],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
    window: int,
) -> None:
    wording, start = Wording(**(config.wording or {})), len(start_tokens(tokenizer))
    prompts = wording.tokenize_prompts(tokenizer, [record.prompt for record in records])
    answers = wording.tokenize_answers(tokenizer, [record.answer for record in records])
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), start=1):
        if (size := start + len(prompt) + len(answer)) > window:
            raise RecordError(
                f"record {number}: prompt and answer have {size} tokens, the base model has "
                f"{window} positions; shorten the record, or leave it out."
            )

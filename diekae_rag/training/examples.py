"""Records as training examples: which go together, in which order, and what fits the window."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Self

from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.data.records import Record, RecordError
from diekae_rag.prompting import Wording, start_tokens
from diekae_rag.training.batches import Episode, pack_for_injection, pack_stuffed
from diekae_rag.training.objectives import Batch
from diekae_rag.training.targets import TargetStore, digest

__all__ = ["Examples", "group_records"]

_TARGETS_DEPEND_ON = (
    "base_model_name_or_path", "base_model_revision", "layers", "site", "positions", "wording",
    "max_passage_tokens", "max_passages",
)  # fmt: skip


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
        group_by_length: Put rows of about one length into a batch, so that little is padding;
            batches still come in random order.
        needs_stuffed: Whether batches hold the passages before the questions too.
        targets: Distillation's targets on disk; batches then hold theirs.
        seed: Of the order.

    Warns:
        UserWarning: Passages are cut or left out, and how many.

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
        group_by_length: bool = True,
        needs_stuffed: bool = False,
        targets: TargetStore | None = None,
        seed: int | str = 0,
    ) -> None:
        if not records:
            raise ValueError("there are no records to train on.")
        _check_lengths(records, tokenizer, config, window)
        self.tokenizer, self.config, self.window = tokenizer, config, window
        self.batch_size, self.seed, self.needs_stuffed = batch_size, seed, needs_stuffed
        self.targets = targets
        self.episodes = group_records(records, questions_per_row)
        self.group_by_length = group_by_length
        _warn_of_cuts(self.episodes, tokenizer, config)
        self._order: tuple[int, list[int]] = (-1, [])

    def again(
        self, *, needs_stuffed: bool, targets: TargetStore | None = None, seed: int | str = 0
    ) -> Self:
        """The same rows for another stage; nothing is checked, or warned of, twice."""
        other = copy.copy(self)
        other.needs_stuffed, other.targets, other.seed = needs_stuffed, targets, seed
        other._order = (-1, [])
        return other

    @property
    def batches_per_epoch(self) -> int:
        """How many batches it takes to see every record once."""
        return -(-len(self.episodes) // self.batch_size)

    def __call__(self, number: int) -> Batch:
        """Batch ``number``, counted from 0 over all epochs."""
        return self.batch_of(self.rows_of(number))

    def batch_of(self, rows: Sequence[int]) -> Batch:
        """Some of ``episodes`` as a batch, with their targets where there are any."""
        batch = self.pack([self.episodes[row] for row in rows])
        if self.targets is None:
            return batch
        return replace(batch, targets=self.targets.gather(rows))

    def all_once(self) -> Iterator[Batch]:
        """Every episode once, in order: for measuring."""
        for first in range(0, len(self.episodes), self.batch_size):
            last = min(first + self.batch_size, len(self.episodes))
            yield self.batch_of(range(first, last))

    def rows_of(self, number: int) -> list[int]:
        """Which of ``episodes`` make batch ``number``."""
        first = number * self.batch_size
        return [self._row(first + place) for place in range(self.batch_size)]

    def pack(self, episodes: Sequence[Episode], *, is_stuffed: bool | None = None) -> Batch:
        """Episodes as tensors.

        Args:
            episodes: What to pack.
            is_stuffed: Whether to hold the passages before the questions too; ``needs_stuffed``
                when not given.
        """
        injected = pack_for_injection(episodes, self.tokenizer, self.config)
        if not (self.needs_stuffed if is_stuffed is None else is_stuffed):
            return Batch(injected)
        stuffed = pack_stuffed(episodes, self.tokenizer, self.config, window=self.window)
        return Batch(injected, stuffed)

    def fingerprint(self, config: DiekaeConfig) -> str:
        """Changes with whatever distillation's targets depend on."""
        fields = config.to_dict()
        limits = {name: fields[name] for name in _TARGETS_DEPEND_ON}
        rows = [(list(e.passages), e.questions) for e in self.episodes]
        return digest([rows, limits, self.window, self.tokenizer.get_vocab()])

    def _row(self, position: int) -> int:
        epoch, place = divmod(position, len(self.episodes))
        if self._order[0] != epoch:
            self._order = epoch, self._shuffled(random.Random(f"{self.seed}:{epoch}"))
        return self._order[1][place]

    def _shuffled(self, rng: random.Random) -> list[int]:
        """An order of the episodes: of any 50 batches' worth, those of one length come together."""
        order = list(range(len(self.episodes)))
        rng.shuffle(order)
        if not self.group_by_length:
            return order
        size, batches = self.batch_size, []
        for first in range(0, len(order), 50 * size):
            part = sorted(order[first : first + 50 * size], key=lambda i: _length(self.episodes[i]))
            batches += [part[start : start + size] for start in range(0, len(part), size)]
        rng.shuffle(batches)
        return [episode for batch in batches for episode in batch]


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


def _warn_of_cuts(
    episodes: Sequence[Episode], tokenizer: PreTrainedTokenizerBase, config: DiekaeConfig
) -> None:
    """Says how many passages are not read whole; only long ones are worth tokenizing for it."""
    wording = Wording(**(config.wording or {}))
    limit = config.max_passage_tokens - len(start_tokens(tokenizer))
    passages = dict.fromkeys(text for e in episodes for text in e.passages[: config.max_passages])
    long = [text for text in passages if len(text.encode()) + len(wording.passage) > limit]
    cut = sum(len(row) > limit for row in wording.tokenize_passages(tokenizer, long))
    dropped = sum(max(0, len(e.passages) - config.max_passages) for e in episodes)
    if cut or dropped:
        warnings.warn(
            f"of {len(passages)} passages {cut} are longer than max_passage_tokens "
            f"({config.max_passage_tokens}) and cut at their ends, and {dropped} are beyond "
            f"max_passages ({config.max_passages}) and left out.",
            stacklevel=3,
        )


def _length(episode: Episode) -> int:
    """About how long a row is, in characters."""
    return sum(map(len, episode.passages)) + sum(len(q) + len(a) for q, a in episode.questions)


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

"""Rows of one length: which questions still fit, and the batches that training reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.counterfact.facts import Facts
from diekae_rag.counterfact.mixture import ASKING, Asking, Mixture
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.training.batches import Episode, PackedBatch, Sizes, pack_for_injection
from diekae_rag.training.batches import pack_stuffed as pack_before
from diekae_rag.training.objectives import Batch

__all__ = ["PASSAGE_LENGTH", "RowSizes", "Rows"]

PASSAGE_LENGTH = 48  # tokens of a passage as worded; hardly a fact takes more


@dataclass(slots=True)
class RowSizes:
    """How many tokens rows take, each text counted once.

    Args:
        tokenizer: Who counts.
        length: Most tokens of a row.
    """

    tokenizer: PreTrainedTokenizerBase
    length: int
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def fits(self, row: Episode) -> bool:
        """Whether a row fits, be its passages before the questions or apart."""
        passages = [self._size("passage", passage) for passage in row.passages]
        questions = sum(self._size("prompt", q) + self._size("answer", a) for q, a in row.questions)
        stuffed, apart = 1 + sum(passages) + questions, len(row.questions) + questions
        return max(stuffed, apart) <= self.length and max(passages, default=0) < PASSAGE_LENGTH

    def _size(self, kind: str, text: str) -> int:
        if (kind, text) not in self._sizes:
            tokenize = {
                "passage": DEMO_WORDING.tokenize_passages,
                "prompt": DEMO_WORDING.tokenize_prompts,
                "answer": DEMO_WORDING.tokenize_answers,
            }[kind]
            self._sizes[kind, text] = len(tokenize(self.tokenizer, [text])[0])
        return self._sizes[kind, text]


class Rows:
    """Batches by number, of one shape throughout.

    Args:
        facts: What is drawn from.
        tokenizer: The reader's.
        config: Wording and limits.
        num_stated: Edits stated in each row of a batch.
        length: Tokens of a row.
        asking: How questions are drawn.
        seed: Of chance.
    """

    def __init__(
        self,
        facts: Facts,
        tokenizer: PreTrainedTokenizerBase,
        config: DiekaeConfig,
        num_stated: Sequence[int],
        *,
        length: int,
        asking: Asking = ASKING,
        seed: int | str = 0,
    ) -> None:
        self.tokenizer, self.config, self.num_stated = tokenizer, config, tuple(num_stated)
        self.mixture = Mixture(facts, RowSizes(tokenizer, length).fits, asking, seed)
        most = max(1, *self.num_stated)
        self.sizes = Sizes(max(1, sum(self.num_stated)), most, PASSAGE_LENGTH, length)

    def stuffed(self, number: int) -> PackedBatch:
        """Batch ``number`` with the passages before the questions."""
        return self._before(self.mixture.rows(number, self.num_stated))

    def draw(self, *, needs_stuffed: bool) -> Callable[[int], Batch]:
        """Batches with the passages apart, and before the questions too where needed."""

        def batch(number: int) -> Batch:
            rows = self.mixture.rows(number, self.num_stated)
            apart = pack_for_injection(rows, self.tokenizer, self.config, self.sizes)
            return Batch(apart, self._before(rows) if needs_stuffed else None)

        return batch

    def _before(self, rows: Sequence[Episode]) -> PackedBatch:
        return pack_before(rows, self.tokenizer, self.config, length=self.sizes.length)

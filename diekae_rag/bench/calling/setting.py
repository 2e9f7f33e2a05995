"""One workload of the benchmark of whole calls. No model library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from diekae_rag.bench.answering.setting import AnswerSetting

__all__ = ["CALL_ARMS", "CallSetting", "call_grid"]

CALL_ARMS = ("none", "stuffed", "injected", "injected, kept states", "injected, kept in int8")
"""Ways to answer: nothing retrieved, in the prompt, encoded in the call, encoded before.

A prefix cache is not among them: every question finds passages of its own, and a cache holds only
what begins alike."""


@dataclass(frozen=True, slots=True)
class CallSetting:
    """Questions asked of an index, and the model that answers from what it finds.

    Args:
        shape, model, dtype, device, layers, sharing: Of base model and encoders, as
            ``AnswerSetting`` has them.
        index_size: Passages in the index.
        k: Passages found for a question.
        passage_tokens: Tokens of each, as worded.
        question_tokens: Tokens of a question.
        embedder: A sentence-transformers folder or name, or ``"minilm"``, the one that ships.
        rounds: Questions; each is asked of every arm, and one more is asked before.

    Raises:
        ValueError: A choice that does not exist, or a number that cannot be.

    Example:
        >>> CallSetting("tiny", k=3, passage_tokens=8).for_answers().passage_sizes
        [8, 8, 8]
    """

    shape: str = "llama-1.1b"
    model: str = ""
    index_size: int = 10_000
    k: int = 4
    passage_tokens: int = 256
    question_tokens: int = 32
    embedder: str = "minilm"
    rounds: int = 7
    dtype: str = "auto"
    device: str = "auto"
    layers: tuple[int, ...] = ()
    sharing: str = "separate"

    def __post_init__(self) -> None:
        for name in ("index_size", "k", "passage_tokens", "question_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        answers = self.for_answers()
        object.__setattr__(self, "dtype", answers.dtype)
        object.__setattr__(self, "layers", answers.layers)
        if self.index_size < (least := self.k * (self.rounds + 1) + 1):
            raise ValueError(
                f"index_size must be at least {least}, got {self.index_size}: each of "
                f"{self.rounds} questions, and one before them, finds {self.k} passages of its own."
            )

    def for_answers(self) -> AnswerSetting:
        """The same in the words of the benchmark of answers, which builds the models."""
        return AnswerSetting(
            shape=self.shape,
            model=self.model,
            knowledge_tokens=self.k * self.passage_tokens,
            passages=self.k,
            prompt_tokens=self.question_tokens,
            rounds=self.rounds,
            dtype=self.dtype,
            device=self.device,
            layers=self.layers,
            sharing=self.sharing,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "layers": list(self.layers)}


def call_grid(
    setting: CallSetting,
    index_sizes: Sequence[int],
    k: Sequence[int],
    passage_tokens: Sequence[int],
) -> list[CallSetting]:
    """Every combination, the quick ones first.

    Example:
        >>> [one.k for one in call_grid(CallSetting("tiny"), [1000], [8, 1], [128])]
        [1, 8]
    """
    made = [
        replace(setting, index_size=size, k=count, passage_tokens=tokens)
        for size, count, tokens in product(index_sizes, k, passage_tokens)
    ]
    return sorted(dict.fromkeys(made), key=lambda one: (one.k * one.passage_tokens, one.index_size))

"""What comes back from a question: the text, its sources, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from diekae_rag.passages import Passage

__all__ = ["MODES", "Answer", "FinishReason", "Mode", "Usage"]

Mode = Literal["inject", "stuff", "combine", "none"]
MODES: tuple[Mode, ...] = ("inject", "stuff", "combine", "none")

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost. Counts are tokens, times are seconds.

    Times are those of the call: rows of one batch share them.

    Args:
        prompt_tokens: Tokens the base model read before it answered.
        knowledge_tokens: Tokens of passages that went through the encoders.
        knowledge_tokens_kept_out: Of those, tokens that the base model did not have to read.
        new_tokens: Tokens generated.
        truncated_tokens: Tokens of passages that were cut because they did not fit.
        dropped_passages: Passages left out because there were too many, or nothing to read in them.
        retrieval_seconds: Finding the passages, where the caller knows it.
        encoding_seconds: Reading the passages with the encoders.
        prefill_seconds: From there to the first token.
        total_seconds: The whole call.
        finish_reason: ``"stop"``: an end of sequence or a stop string; ``"length"``: the limit of
            new tokens; ``"cancelled"``: whoever read the stream went away.
    """

    prompt_tokens: int = 0
    knowledge_tokens: int = 0
    knowledge_tokens_kept_out: int = 0
    new_tokens: int = 0
    truncated_tokens: int = 0
    dropped_passages: int = 0
    retrieval_seconds: float | None = None
    encoding_seconds: float = 0.0
    prefill_seconds: float = 0.0
    total_seconds: float = 0.0
    finish_reason: FinishReason = "stop"

    @property
    def seconds_to_first_token(self) -> float:
        """Retrieval (where known), encoding and prefill together."""
        return (self.retrieval_seconds or 0.0) + self.encoding_seconds + self.prefill_seconds

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**own, "seconds_to_first_token": self.seconds_to_first_token}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: ``text``, the ``passages`` it was given (scores kept), and its ``usage``.

    Example:
        >>> str(Answer("Turin", mode="none"))
        'Turin'
    """

    text: str
    passages: list[Passage] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    mode: Mode = "inject"

    def __str__(self) -> str:
        return self.text

"""What comes back from a question: the text, its sources, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from diekae_rag.passages import Passage

if TYPE_CHECKING:
    from diekae_rag.editing.edit import Edit

__all__ = [
    "MODES",
    "MODE_CHOICES",
    "Answer",
    "Attribution",
    "FinishReason",
    "Mode",
    "ModeChoice",
    "Usage",
]

Mode = Literal["inject", "stuff", "combine", "none"]
MODES: tuple[Mode, ...] = ("inject", "stuff", "combine", "none")

ModeChoice = Literal["inject", "stuff", "combine", "none", "auto"]
MODE_CHOICES: tuple[ModeChoice, ...] = (*MODES, "auto")

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost. Counts are tokens, times are seconds.

    Times are those of the call: rows of one batch share them.

    Args:
        prompt_tokens: Tokens the base model read before it answered.
        knowledge_tokens: Tokens of passages that went through the encoders.
        knowledge_tokens_kept_out: Of those, tokens that the base model did not have to read.
        knowledge_tokens_from_kept_states: Of those that went through the encoders, tokens that were
            not read again, because their states were kept (``DiekaeModel.keep_states``).
        new_tokens: Tokens generated.
        truncated_tokens: Tokens of passages that were cut because they did not fit.
        dropped_passages: Passages left out because there were too many, or nothing to read in them.
        retrieval_seconds: Finding the passages, where the caller knows it.
        encoding_seconds: Reading the passages with the encoders.
        prefill_seconds: From there to the first token.
        total_seconds: The whole call, but for attribution.
        finish_reason: ``"stop"``: an end of sequence or a stop string; ``"length"``: the limit of
            new tokens; ``"cancelled"``: whoever read the stream went away.
        mode_reason: Where the mode was to be chosen, why it is this one.
        attribution_seconds: Finding out what each passage contributed, of this answer alone.
        attribution_tokens: Tokens the base model read for that, in all its rows.
    """

    prompt_tokens: int = 0
    knowledge_tokens: int = 0
    knowledge_tokens_kept_out: int = 0
    knowledge_tokens_from_kept_states: int = 0
    new_tokens: int = 0
    truncated_tokens: int = 0
    dropped_passages: int = 0
    retrieval_seconds: float | None = None
    encoding_seconds: float = 0.0
    prefill_seconds: float = 0.0
    total_seconds: float = 0.0
    finish_reason: FinishReason = "stop"
    mode_reason: str = ""
    attribution_seconds: float = 0.0
    attribution_tokens: int = 0

    @property
    def seconds_to_first_token(self) -> float:
        """Retrieval (where known), encoding and prefill together."""
        return (self.retrieval_seconds or 0.0) + self.encoding_seconds + self.prefill_seconds

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**own, "seconds_to_first_token": self.seconds_to_first_token}


@dataclass(frozen=True, slots=True)
class Attribution:
    """How much one passage contributed to an answer.

    Args:
        nats: How much likelier the passage made the answer: the logarithm of its probability given
            all passages, minus that given all but this one. Below 0 it spoke against the answer.
        share: Of the sum of all values above 0, this one's part; 0 where it is not above 0. Where
            no value is, all shares are 0; where all are close to 0, they say nothing.
    """

    nats: float
    share: float

    def to_dict(self) -> dict[str, float]:
        """The figures as JSON values."""
        return {"nats": self.nats, "share": self.share}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and where it comes from.

    Args:
        text: What was answered.
        passages: The passages that were read, scores kept; edits that spoke come first.
        usage: What it cost.
        mode: Which way the passages went.
        attribution: Asked for with ``attribute=True``, what each of ``passages`` contributed, in
            their order; otherwise, or where nobody waited for the answer's end, ``None``.
        edits: The edits that the prompt means, read as passages or held in weights
            (``DiekaeModel.edits``).

    Example:
        >>> answer = Answer("Turin", [Passage("Ada lives in Turin.", id="7")])
        >>> str(answer), answer.sources[0]["id"]
        ('Turin', '7')
    """

    text: str
    passages: list[Passage] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    mode: Mode = "inject"
    attribution: list[Attribution] | None = None
    edits: list[Edit] = field(default_factory=list)

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The passages as JSON values, each with its ``attribution`` where that was asked for."""
        sources = [passage.to_dict() for passage in self.passages]
        for source, found in zip(sources, self.attribution or (), strict=False):
            source["attribution"] = found.to_dict()
        return sources

    def __str__(self) -> str:
        return self.text

"""One workload of the benchmark of indexing. No model library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from diekae_rag.bench.answering.setting import AnswerSetting

__all__ = ["OWN", "IndexSetting", "index_grid"]

OWN = "own"
"""States in the encoders' own precision."""
_DTYPES = (OWN, "float32", "float16", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class IndexSetting:
    """Passages to index, and encoders that read them.

    Args:
        shape, model, dtype, device, layers, sharing: Of base model and encoders, as
            ``AnswerSetting`` has them.
        num_passages: How many.
        passage_tokens: Tokens of each, as worded.
        state_dtypes: Precisions in which states are kept, one after the other; ``"own"``: that of
            the encoders.
        embedder: A sentence-transformers folder or name, or ``"minilm"``, the one that ships.
        rounds: Times that everything is built anew; before them, some passages are read once.

    Raises:
        ValueError: A choice that does not exist, or a number that cannot be.

    Example:
        >>> IndexSetting("tiny", num_passages=10, passage_tokens=8).for_answers().passage_sizes
        [8]
    """

    shape: str = "llama-1.1b"
    model: str = ""
    num_passages: int = 256
    passage_tokens: int = 256
    state_dtypes: tuple[str, ...] = (OWN, "bfloat16", "int8")
    embedder: str = "minilm"
    rounds: int = 3
    dtype: str = "auto"
    device: str = "auto"
    layers: tuple[int, ...] = ()
    sharing: str = "separate"

    def __post_init__(self) -> None:
        for name in ("num_passages", "passage_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.state_dtypes or set(self.state_dtypes) - set(_DTYPES):
            raise ValueError(
                f"state_dtypes must be some of {', '.join(_DTYPES)}; got "
                f"{', '.join(self.state_dtypes) or 'none'}."
            )
        answers = self.for_answers()
        object.__setattr__(self, "dtype", answers.dtype)
        object.__setattr__(self, "layers", answers.layers)
        named = dict.fromkeys(OWN if name == self.dtype else name for name in self.state_dtypes)
        object.__setattr__(self, "state_dtypes", tuple(named))

    def for_answers(self) -> AnswerSetting:
        """The same in the words of the benchmark of answers, which builds the models."""
        return AnswerSetting(
            shape=self.shape,
            model=self.model,
            knowledge_tokens=self.passage_tokens,
            passages=1,
            rounds=self.rounds,
            dtype=self.dtype,
            device=self.device,
            layers=self.layers,
            sharing=self.sharing,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        lists = {"layers": list(self.layers), "state_dtypes": list(self.state_dtypes)}
        return {**asdict(self), **lists}


def index_grid(
    setting: IndexSetting, num_passages: Sequence[int], passage_tokens: Sequence[int]
) -> list[IndexSetting]:
    """Every combination, the quick ones first.

    Example:
        >>> [one.num_passages for one in index_grid(IndexSetting("tiny"), [64, 8], [128])]
        [8, 64]
    """
    made = [
        replace(setting, num_passages=count, passage_tokens=tokens)
        for count, tokens in product(num_passages, passage_tokens)
    ]
    return sorted(dict.fromkeys(made), key=lambda one: one.num_passages * one.passage_tokens)

"""One workload of the benchmark of answers, and grids of them. No model library is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from diekae_rag.bench.setting import PAPER_LAYERS, SHAPES, Setting, scaled_layers

__all__ = ["PASSAGE_TOKENS", "AnswerSetting", "default_grid", "full_grid", "grid", "quick_grid"]

PASSAGE_TOKENS = 512
"""Size of a passage where nothing else is asked for."""

_CHOICES = {
    "dtype": ("auto", "bfloat16", "float32"),
    "device": ("auto", "cpu", "cuda"),
    "sharing": ("separate", "shared"),
    "positions": ("prompt", "all"),
    "memory": ("apart", "together"),
}
_COUNTS = ("knowledge_tokens", "prompt_tokens", "new_tokens", "batch_size", "rounds")


@dataclass(frozen=True, slots=True)
class AnswerSetting:
    """One workload; every arm answers the same prompts.

    Args:
        shape: One of ``SHAPES``, with random weights; not used where there is a ``model``.
        model: Encoders with their base model: a folder, a hub id or ``"demo"``; else ``""``.
        knowledge_tokens: Tokens of passages for each prompt, as worded.
        passages: Over how many passages they are spread; 0: over as many of 512 as it takes.
        prompt_tokens: Tokens of each prompt.
        new_tokens: Tokens of each answer, exactly.
        batch_size: Prompts answered at once, each with passages of its own.
        rounds: Times that every arm is timed, in turn; one more round is not counted.
        dtype: Precision of all weights; ``"auto"``: float32 for the tiny shape, a model's own,
            else bfloat16.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``.
        layers: Where a shape's encoders inject; the paper's 3 to 8 where the depth allows it, else
            ``scaled_layers``.
        sharing, positions: Of a shape's encoders, as ``DiekaeConfig`` has them.
        memory: ``"apart"``: each arm's is measured in a process of its own, because a process that
            ran others holds more or less than its work needs; ``"together"``: in the one that was
            timed, up to a sixth off. A GPU's allocator is exact either way.

    Raises:
        ValueError: A choice that does not exist, or a number that cannot be.

    Example:
        >>> AnswerSetting("tiny", knowledge_tokens=1100).num_passages
        3
    """

    shape: str = "llama-1.1b"
    model: str = ""
    knowledge_tokens: int = 1024
    passages: int = 0
    prompt_tokens: int = 32
    new_tokens: int = 1
    batch_size: int = 1
    rounds: int = 3
    dtype: str = "auto"
    device: str = "auto"
    layers: tuple[int, ...] = ()
    sharing: str = "separate"
    positions: str = "prompt"
    memory: str = "apart"

    def __post_init__(self) -> None:
        for name, known in {**_CHOICES, "shape": tuple(SHAPES)}.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.passages <= self.knowledge_tokens:
            raise ValueError(
                f"passages must be 0 (of {PASSAGE_TOKENS} tokens each) or at most "
                f"knowledge_tokens={self.knowledge_tokens}, got {self.passages}."
            )
        if self.model:
            return
        depth = SHAPES[self.shape].num_hidden_layers
        layers = PAPER_LAYERS if depth > PAPER_LAYERS[-1] else scaled_layers(depth)
        if self.dtype == "auto":
            object.__setattr__(self, "dtype", "float32" if self.shape == "tiny" else "bfloat16")
        object.__setattr__(self, "layers", tuple(self.layers) or layers)
        self.for_shape()  # refuses layers that are not there

    @property
    def name(self) -> str:
        """The model's, or else the shape's."""
        return self.model or self.shape

    @property
    def num_passages(self) -> int:
        """Over how many passages the knowledge is spread."""
        return self.passages or -(-self.knowledge_tokens // PASSAGE_TOKENS)

    @property
    def passage_sizes(self) -> list[int]:
        """Tokens of each passage; together all of the knowledge."""
        if not self.passages:
            rest = self.knowledge_tokens % PASSAGE_TOKENS
            whole = [PASSAGE_TOKENS] * (self.knowledge_tokens // PASSAGE_TOKENS)
            return whole + [rest] * (rest > 0)
        size, more = divmod(self.knowledge_tokens, self.passages)
        return [size + (number < more) for number in range(self.passages)]

    def for_shape(self) -> Setting:
        """The same in the words of the benchmark of training, which builds the base model."""
        return Setting(
            shape=self.shape,
            knowledge_tokens=self.knowledge_tokens,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.new_tokens,
            batch_size=self.batch_size,
            dtype=self.dtype,
            device=self.device,
            layers=self.layers,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "layers": list(self.layers)}


def grid(
    setting: AnswerSetting,
    knowledge_tokens: Sequence[int],
    batch_sizes: Sequence[int] = (1,),
    new_tokens: Sequence[int] = (1,),
    passages: Sequence[int] = (0,),
) -> list[AnswerSetting]:
    """Every combination, the quick ones first.

    Example:
        >>> [one.batch_size for one in grid(AnswerSetting("tiny"), [128], [8, 1])]
        [1, 8]
    """
    made = [
        replace(setting, knowledge_tokens=tokens, batch_size=size, new_tokens=new, passages=spread)
        for tokens, size, new, spread in product(
            knowledge_tokens, batch_sizes, new_tokens, passages
        )
    ]
    return sorted(dict.fromkeys(made), key=lambda s: s.batch_size * (s.knowledge_tokens + 1))


def quick_grid(setting: AnswerSetting) -> list[AnswerSetting]:
    """What two cores do in two minutes with a small shape."""
    return grid(replace(setting, memory="together"), [128, 1024], new_tokens=[8])


def default_grid(setting: AnswerSetting) -> list[AnswerSetting]:
    """What every goal needs, and enough to tell how costs grow."""
    lengths = grid(setting, [128, 1024, 4096])
    batches = grid(setting, [2048], [1, 8], [64])
    return lengths + batches + grid(setting, [2048], [1], [64], [16])


def full_grid(setting: AnswerSetting) -> list[AnswerSetting]:
    """Every length, batch and answer, and the same knowledge in more and in fewer passages."""
    lengths = [128, 256, 512, 1024, 2048, 4096]
    spreads = grid(setting, [2048], passages=[1, 2, 8, 16, 32])
    return grid(setting, lengths, [1, 8, 32], [1, 16, 64]) + spreads

"""What a run of the benchmark is of: a shape, lengths, a precision. No model library is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["PAPER_LAYERS", "SHAPES", "Setting", "Shape", "scaled_layers"]

PAPER_LAYERS = (3, 4, 5, 6, 7, 8)
_PAPER_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a LLaMA, and of the encoders beside it.

    Args:
        hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
            num_key_value_heads, vocab_size: As ``LlamaConfig`` names them.
        encoder: Fields of ``DiekaeConfig`` that are not the paper's.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    encoder: Mapping[str, int] = field(default_factory=dict)


SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(
        32,
        64,
        4,
        4,
        2,
        400,
        {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
    ),
    "llama-160m": Shape(768, 3072, 12, 12, 12, 32_000),
    "llama-1.1b": Shape(2048, 5632, 22, 32, 4, 32_000),
    "llama-2-7b": Shape(4096, 11_008, 32, 32, 32, 32_000),
}
"""Base models by name: ``llama-1.1b`` is TinyLlama's shape, ``llama-2-7b`` the paper's."""


def scaled_layers(num_hidden_layers: int) -> tuple[int, ...]:
    """The paper's layers, 3 to 8 of 32, at the same share of another model's depth.

    Example:
        >>> scaled_layers(32), scaled_layers(22), scaled_layers(4)
        ((3, 4, 5, 6, 7, 8), (2, 3, 4, 5), (0, 1))
    """
    return tuple(sorted({layer * num_hidden_layers // _PAPER_DEPTH for layer in PAPER_LAYERS}))


@dataclass(frozen=True, slots=True)
class Setting:
    """One workload; every arm gets the same.

    Args:
        shape: One of ``SHAPES``.
        knowledge_tokens: Tokens of knowledge before each prompt.
        prompt_tokens: Tokens of each prompt.
        answer_tokens: Tokens of each answer.
        batch_size: Rows in a step.
        steps: Timed steps of an arm in a round; one more, before them, is not counted.
        dtype: Precision of all weights, gradients and optimiser states.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``.
        layers: Where the paper's encoders inject; see ``scaled_layers`` when not given.
        gradient_checkpointing: Of the arms that train weights of the base model.

    Raises:
        ValueError: A shape or a precision that does not exist, or a number below 1.
    """

    shape: str = "llama-1.1b"
    knowledge_tokens: int = 512
    prompt_tokens: int = 32
    answer_tokens: int = 16
    batch_size: int = 1
    steps: int = 3
    dtype: str = "bfloat16"
    device: str = "auto"
    layers: tuple[int, ...] = ()
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        choices = {
            "shape": tuple(SHAPES),
            "dtype": ("bfloat16", "float32"),
            "device": ("auto", "cpu", "cuda"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}."
                )
        counts = ("knowledge_tokens", "prompt_tokens", "answer_tokens", "batch_size", "steps")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        depth = SHAPES[self.shape].num_hidden_layers
        object.__setattr__(self, "layers", tuple(self.layers) or scaled_layers(depth))
        if min(self.layers) < 0 or max(self.layers) >= depth:
            raise ValueError(
                f"layers {list(self.layers)} reach outside 0..{depth - 1} of {self.shape}; "
                "name decoder layers that it has."
            )

    @property
    def row_tokens(self) -> int:
        """Tokens of a stuffed row: knowledge, prompt and answer."""
        return self.knowledge_tokens + self.prompt_tokens + self.answer_tokens

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "layers": list(self.layers)}

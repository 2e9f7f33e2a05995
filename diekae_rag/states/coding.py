"""The states of one passage as bytes.

Axes: N blocks of an encoder, H heads of all encoders, K tokens of the passage, d head size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

__all__ = ["STATE_DTYPES", "StateCode", "StateDtype"]

StateDtype = Literal["float32", "float16", "bfloat16", "int8"]
STATE_DTYPES: tuple[StateDtype, ...] = get_args(StateDtype)


@dataclass(frozen=True, slots=True)
class StateCode:
    """How keys and values are written: their shape but for the tokens, and their precision.

    In the encoders' own precision, what is read is what was written, bit for bit. ``"int8"`` keeps
    for every head and token one bfloat16, the largest absolute value over 127: no value is further
    from its own than about half of that.

    Args:
        num_blocks: N.
        num_heads: H.
        head_dim: d.
        dtype: The precision.

    Raises:
        ValueError: There is no such precision.

    Example:
        >>> code = StateCode(1, 2, 4, "int8")
        >>> states = torch.randn(2, 1, 2, 3, 4)
        >>> coded = code.pack(states)
        >>> len(coded) == code.num_bytes(3) == 3 * (2 * 2 * 4 + 2 * 2 * 2)
        True
        >>> bool((code.unpack(coded, 3) - states).abs().max() < 0.02)
        True
    """

    num_blocks: int
    num_heads: int
    head_dim: int
    dtype: StateDtype

    def __post_init__(self) -> None:
        if self.dtype not in STATE_DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(STATE_DTYPES)}; got {self.dtype!r}.")

    def num_bytes(self, num_tokens: int) -> int:
        """How many bytes ``num_tokens`` tokens take."""
        vectors = 2 * self.num_blocks * self.num_heads * num_tokens
        size: int = getattr(torch, self.dtype).itemsize
        return vectors * (self.head_dim * size + (2 if self.dtype == "int8" else 0))

    def pack(self, states: Tensor) -> bytes:
        """Keys and values, ``[2, N, H, K, d]``, as bytes.

        Raises:
            ValueError: A value is not finite, or not in this precision.
        """
        largest = max(map(abs, torch.stack(torch.aminmax(states)).tolist()))
        if not math.isfinite(largest):
            raise ValueError("states hold values that are not finite; the encoders are damaged.")
        if self.dtype != "int8":
            written = getattr(torch, self.dtype)
            if largest > torch.finfo(written).max:
                raise ValueError(f"states are too large for {self.dtype}; choose bfloat16.")
            return _as_bytes(states.to(written))
        states = states.float()
        scales = torch.linalg.vector_norm(states, torch.inf, dim=-1, keepdim=True).div_(127)
        scales = scales.to(torch.bfloat16)
        steps = states / scales.float().clamp_(min=torch.finfo(torch.float32).tiny)
        steps = steps.round_().clamp_(-127, 127).to(torch.int8)
        return _as_bytes(steps) + _as_bytes(scales)

    def unpack(self, coded: Any, num_tokens: int) -> Tensor:
        """Keys and values from bytes, ``[2, N, H, K, d]``: a view of them, or from int8 float32.

        Args:
            coded: What ``pack`` gave: ``bytes``, or a ``memoryview`` that is held as long.
            num_tokens: K.
        """
        shape = (2, self.num_blocks, self.num_heads, num_tokens, self.head_dim)
        if self.dtype != "int8":
            return _from_bytes(coded, getattr(torch, self.dtype), shape)
        split = 2 * self.num_blocks * self.num_heads * num_tokens * self.head_dim
        steps = _from_bytes(coded[:split], torch.int8, shape)
        scales = _from_bytes(coded[split:], torch.bfloat16, (*shape[:-1], 1))
        return steps.float().mul_(scales.float())


def _as_bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes()


def _from_bytes(coded: Any, dtype: torch.dtype, shape: Sequence[int]) -> Tensor:
    return torch.frombuffer(coded, dtype=dtype).view(tuple(shape))

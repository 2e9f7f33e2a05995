"""What a prompt may attend to: passages' states, side by side for each row.

Axes: N blocks of an encoder, P passages, B rows, H heads of all encoders, K knowledge positions, R
free positions behind them, d head size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from diekae_rag.config import DiekaeConfig
from diekae_rag.states.tensors import PassageStates

__all__ = ["Knowledge", "KnowledgeApart", "gather_knowledge"]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What each row of a batch may attend to.

    Behind the ``K`` positions there may be ``R`` more, free for what is read after the knowledge:
    it is written there, so that all can be attended to without being copied together.

    Args:
        keys: ``[N, B, H, K + R, d]``.
        values: ``[N, B, H, K + R, d]``.
        mask: ``[B, K]`` bool; a row without knowledge is false throughout.
        starts: ``[B]`` long, the position of each row's first prompt token.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor
    starts: Tensor

    @classmethod
    def empty(cls, num_rows: int, config: DiekaeConfig, device: torch.device) -> Knowledge:
        """Nothing to attend to, for encoders that read the prompt alone, from position 0."""
        head_dim = config.hidden_size // config.num_attention_heads
        heads = config.num_bodies * config.num_attention_heads
        keys, values = torch.zeros(
            2, config.num_hidden_layers, num_rows, heads, 0, head_dim, device=device
        )
        mask = torch.zeros(num_rows, 0, dtype=torch.bool, device=device)
        return cls(keys, values, mask, torch.zeros(num_rows, dtype=torch.long, device=device))

    @property
    def is_present(self) -> Tensor:
        """``[B]`` bool, true for rows that have anything to read."""
        return self.mask.any(1)

    def blocks(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each block, ``[B, H, K + R, d]``; views.

        All at once: taken out one by one, each would get a gradient as large as all together.
        """
        return list(zip(self.keys.unbind(0), self.values.unbind(0), strict=True))

    @property
    def room(self) -> int:
        """R."""
        return self.keys.shape[3] - self.mask.shape[1]

    def with_room(self, room: int) -> Knowledge:
        """The same with at least so many positions free; twice as many where they must be made."""
        if room <= self.room:
            return self
        more = [0, 0, 0, 2 * room - self.room]
        return replace(self, keys=pad(self.keys, more), values=pad(self.values, more))

    def expand(self, batch_size: int) -> Knowledge:
        """Repeats each row for its beams or its several answers.

        Raises:
            RuntimeError: ``batch_size`` is not a multiple of the number of rows.
        """
        rows = self.mask.shape[0]
        if batch_size == rows:
            return self
        repeats = _repeats(rows, batch_size)
        return Knowledge(
            self.keys.repeat_interleave(repeats, 1),
            self.values.repeat_interleave(repeats, 1),
            self.mask.repeat_interleave(repeats, 0),
            self.starts.repeat_interleave(repeats, 0),
        )


@dataclass(frozen=True, slots=True)
class KnowledgeApart:
    """The same while the states still lie apart: laid side by side one block at a time.

    Where each block is read once, no more than one need be held; without gradient.

    Args:
        rows: For each row the states of what it reads, each of a single text and unpadded; in one
            row at least there is one.
        mask: ``[B, K]`` bool; a row without knowledge is false throughout.
        starts: ``[B]`` long, the position of each row's first prompt token.
        room: R, as for ``Knowledge``.

    Example:
        >>> states = PassageStates(*torch.ones(2, 1, 1, 1, 3, 4), torch.ones(1, 3).bool())
        >>> knowledge = KnowledgeApart.of([[states, states], []], [8, 8])
        >>> knowledge.mask.sum(1), knowledge.joined().keys.shape
        (tensor([6, 0]), torch.Size([1, 2, 1, 6, 4]))
    """

    rows: Sequence[Sequence[PassageStates]]
    mask: Tensor
    starts: Tensor
    room: int = 0

    @classmethod
    def of(
        cls, rows: Sequence[Sequence[PassageStates]], starts: Sequence[int], room: int = 0
    ) -> KnowledgeApart:
        """Looks at nothing but lengths."""
        lengths = [sum(states.mask.shape[1] for states in row) for row in rows]
        device = next(states.mask.device for row in rows for states in row)
        at = torch.arange(max(lengths), device=device)
        mask = at < torch.tensor(lengths, device=device)[:, None]
        return cls(rows, mask, torch.tensor(list(starts), device=device), room)

    @property
    def is_present(self) -> Tensor:
        """``[B]`` bool, true for rows that have anything to read."""
        return self.mask.any(1)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Keys and values of each block, ``[B, H, K + R, d]``, made when it is their turn."""
        for block in range(self._shape()[0]):
            yield self._block(block)  # and is not held here while the next is made

    def with_room(self, room: int) -> KnowledgeApart:
        """The same with at least so many positions free."""
        return replace(self, room=max(room, self.room))

    def expand(self, batch_size: int) -> KnowledgeApart:
        """As ``Knowledge.expand``; nothing is copied but the mask."""
        if batch_size == len(self.rows):
            return self
        repeats = _repeats(len(self.rows), batch_size)
        return KnowledgeApart(
            [row for row in self.rows for _ in range(repeats)],
            self.mask.repeat_interleave(repeats, 0),
            self.starts.repeat_interleave(repeats, 0),
            self.room,
        )

    def joined(self) -> Knowledge:
        """All blocks at once, for where each is read again at every new token."""
        shape = self._shape()
        keys, values = (part.new_empty(shape) for part in self._some())
        for block in range(shape[0]):
            self._lay(block, keys[block], values[block])
        return Knowledge(keys, values, self.mask, self.starts)

    def _block(self, block: int) -> tuple[Tensor, Tensor]:
        keys, values = (part.new_empty(self._shape()[1:]) for part in self._some())
        self._lay(block, keys, values)
        return keys, values

    def _lay(self, block: int, keys: Tensor, values: Tensor) -> None:
        """Writes one block of every row, ``[B, H, K + R, d]``."""
        for number, row in enumerate(self.rows):
            end = 0
            for states in row:
                here = slice(end, end := end + states.mask.shape[1])
                keys[number, :, here] = states.keys[block, 0]
                values[number, :, here] = states.values[block, 0]
            # Masked, but a number that is none would get through the mask.
            keys[number, :, end:] = 0
            values[number, :, end:] = 0

    def _some(self) -> tuple[Tensor, Tensor]:
        """Keys and values of one of the texts, ``[N, 1, H, t, d]``."""
        states = next(states for row in self.rows for states in row)
        return states.keys, states.values

    def _shape(self) -> tuple[int, ...]:
        num_blocks, _, heads, _, head_dim = self._some()[0].shape
        return num_blocks, len(self.rows), heads, self.mask.shape[1] + self.room, head_dim


def gather_knowledge(
    states: PassageStates, rows: Sequence[Sequence[int]], starts: Sequence[int]
) -> Knowledge:
    """Lays the states that each row reads side by side; differentiable.

    Args:
        states: States of all the passages that any row reads.
        rows: For each row, the positions in ``states`` of the passages it reads.
        starts: For each row, the position of its first prompt token.

    Example:
        >>> states = PassageStates(*torch.ones(2, 1, 2, 1, 3, 4), torch.ones(2, 3).bool())
        >>> gather_knowledge(states, [[0, 1], []], [8, 8]).mask.sum(1)
        tensor([6, 0])
    """
    num_blocks, num_passages, heads, width, head_dim = states.keys.shape
    device = states.mask.device
    lengths = states.mask.sum(1).tolist()
    # Real tokens only: a row is as wide as what it reads, not as its longest passage times k.
    picked = [[p * width + t for p in row for t in range(lengths[p])] for row in rows]
    longest = max(map(len, picked), default=0)
    index = torch.tensor(
        [row + [0] * (longest - len(row)) for row in picked], dtype=torch.long, device=device
    ).view(len(rows), longest)
    mask = torch.tensor(
        [[True] * len(row) + [False] * (longest - len(row)) for row in picked],
        dtype=torch.bool,
        device=device,
    ).view(len(rows), longest)

    def pick(states: Tensor) -> Tensor:
        tokens = states.permute(0, 1, 3, 2, 4).reshape(num_blocks, -1, heads, head_dim)
        if not num_passages:
            return tokens.new_zeros(num_blocks, len(rows), heads, 0, head_dim)
        return tokens[:, index].transpose(2, 3)

    return Knowledge(
        pick(states.keys), pick(states.values), mask, torch.tensor(list(starts), device=device)
    )


def _repeats(rows: int, batch_size: int) -> int:
    if batch_size % rows:
        raise RuntimeError(
            f"the base model was called with {batch_size} rows while knowledge for {rows} was "
            "set; a batch may only be a multiple (beams, num_return_sequences)."
        )
    return batch_size // rows

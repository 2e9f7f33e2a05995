"""What an encoder keeps of the passages: keys and values that the prompt attends to.

Axes: N blocks of an encoder, P passages, B rows, H heads of all encoders, K knowledge positions, d
head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Knowledge", "PassageStates", "gather_knowledge"]


@dataclass(frozen=True, slots=True)
class PassageStates:
    """The encoder's states of some texts, each read alone from position 0.

    Args:
        keys: ``[N, P, H, K, d]``, rotary positions applied.
        values: ``[N, P, H, K, d]``.
        mask: ``[P, K]`` bool, true at real tokens.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return self.mask.shape[0]

    @property
    def num_bytes(self) -> int:
        """Memory that keys and values take."""
        return self.keys.nbytes + self.values.nbytes

    def apart(self) -> list[PassageStates]:
        """Each text's by itself, unpadded; views of these."""
        lengths = self.mask.sum(1).tolist()
        return [self._part(number, length) for number, length in enumerate(lengths)]

    def first(self, length: int) -> PassageStates:
        """Of a single text, the first ``length`` tokens; a view."""
        return self._part(0, length)

    def detached(self) -> PassageStates:
        """The same, holding no more memory than it needs."""
        keys, values = (
            part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
            for part in (self.keys, self.values)
        )
        return PassageStates(keys, values, self.mask.clone())

    def _part(self, number: int, length: int) -> PassageStates:
        one = slice(number, number + 1)
        return PassageStates(
            self.keys[:, one, :, :length],
            self.values[:, one, :, :length],
            self.mask[one, :length],
        )


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

    @property
    def is_present(self) -> Tensor:
        """``[B]`` bool, true for rows that have anything to read."""
        return self.mask.any(1)

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
        if batch_size % rows:
            raise RuntimeError(
                f"the base model was called with {batch_size} rows while knowledge for {rows} was "
                "set; a batch may only be a multiple (beams, num_return_sequences)."
            )
        repeats = batch_size // rows
        return Knowledge(
            self.keys.repeat_interleave(repeats, 1),
            self.values.repeat_interleave(repeats, 1),
            self.mask.repeat_interleave(repeats, 0),
            self.starts.repeat_interleave(repeats, 0),
        )


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


def join_states(
    rows: Sequence[Sequence[PassageStates]], starts: Sequence[int], room: int = 0
) -> Knowledge:
    """As ``gather_knowledge``, of states that lie apart; without gradient.

    Args:
        rows: For each row the states of what it reads, each of a single text and unpadded; in one
            row at least there is one.
        starts: For each row, the position of its first prompt token.
        room: How many positions to leave free behind them.

    Example:
        >>> states = PassageStates(*torch.ones(2, 1, 1, 1, 3, 4), torch.ones(1, 3).bool())
        >>> join_states([[states, states], []], [8, 8]).mask.sum(1)
        tensor([6, 0])
    """
    lengths = [sum(states.mask.shape[1] for states in row) for row in rows]
    like = next(states for row in rows for states in row)
    at = torch.arange(max(lengths), device=like.mask.device)
    num_blocks, _, heads, _, head_dim = like.keys.shape
    shape = (num_blocks, len(rows), heads, len(at) + room, head_dim)
    keys, values = like.keys.new_empty(shape), like.values.new_empty(shape)
    for number, row in enumerate(rows):
        end = 0
        for states in row:
            here = slice(end, end := end + states.mask.shape[1])
            keys[:, number, :, here] = states.keys[:, 0]
            values[:, number, :, here] = states.values[:, 0]
        # Masked, but a number that is none would get through the mask.
        keys[:, number, :, end:] = 0
        values[:, number, :, end:] = 0
    mask = at < torch.tensor(lengths, device=at.device)[:, None]
    return Knowledge(keys, values, mask, torch.tensor(list(starts), device=at.device))

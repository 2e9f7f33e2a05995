"""Two readings in one: the base model's weights are fetched once for both.

Axes: B rows, T positions of a row, D width of the base model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diekae_rag.training.batches import ANSWER, PackedBatch

__all__ = ["SideBySide", "without_answers"]


class SideBySide:
    """Each row of ``first`` and, after it, that of ``second``; neither sees the other.

    Args:
        first: Rows of any length.
        second: As many rows.

    Example:
        >>> ids = torch.tensor([[5, 6]])
        >>> row = PackedBatch(ids, torch.tensor([[0, 1]]), torch.ones(1, 1, 2, 2).bool(), ids)
        >>> both = SideBySide(row, row)
        >>> both.batch.attention_mask[0, 0].int().tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    """

    def __init__(self, first: PackedBatch, second: PackedBatch) -> None:
        self._width = first.length
        both = first.attention_mask.new_zeros(
            (len(first.input_ids), 1, *[first.length + second.length] * 2)
        )
        both[..., : self._width, : self._width] = first.attention_mask
        both[..., self._width :, self._width :] = second.attention_mask
        self.batch = PackedBatch(
            torch.cat([first.input_ids, second.input_ids], 1),
            torch.cat([first.position_ids, second.position_ids], 1),
            both,
            torch.cat([first.roles, second.roles], 1),
        )

    def apart(self, found: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        """What was found in the rows of each, row by row.

        Args:
            found: ``[positions, D]``, of the positions that ``at`` names, row by row.
            at: ``[B, T]`` bool.
        """
        is_first = torch.arange(at.shape[1], device=at.device) < self._width
        of_first = is_first.expand_as(at)[at]
        return found[of_first], found[~of_first]


def without_answers(batch: PackedBatch) -> PackedBatch:
    """The same rows with nothing after the questions, for readings that end before the answers."""
    keep = (batch.roles != ANSWER) & (batch.roles != 0)
    length = int(keep.sum(1).max())
    # What is kept comes first, in its order; what fills a shorter row up sees itself alone.
    order = keep.byte().argsort(dim=1, descending=True, stable=True)[:, :length]
    kept = keep.gather(1, order)
    rows = batch.attention_mask[:, 0].gather(1, order[:, :, None].expand(-1, -1, batch.length))
    mask = rows.gather(2, order[:, None, :].expand(-1, length, -1))
    mask &= kept[:, None, :] & kept[:, :, None]
    mask |= torch.eye(length, dtype=torch.bool, device=mask.device)
    return PackedBatch(
        batch.input_ids.gather(1, order),
        batch.position_ids.gather(1, order),
        mask[:, None],
        batch.roles.gather(1, order) * kept,
    )

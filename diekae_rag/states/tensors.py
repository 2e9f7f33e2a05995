"""What an encoder keeps of the passages it reads: keys and values.

Axes: N blocks of an encoder, P passages, H heads of all encoders, K positions, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PassageStates"]


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

    def stacked(self) -> Tensor:
        """Of a single text, keys and values, ``[2, N, H, K, d]``."""
        return torch.stack([self.keys[:, 0], self.values[:, 0]])

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

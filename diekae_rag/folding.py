"""The base model's embeddings and the encoders' first projection as one table.

Axes: V vocabulary, D width of the base model, E bodies, h width of one, P passages, K positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diekae_rag.changes import Changes
from diekae_rag.encoders import Encoders

__all__ = ["FoldedEmbedding"]

_MOST_BYTES = 1 << 26  # a larger table would take more than it gives
_ROWS = 1 << 12  # of the vocabulary at a time


class FoldedEmbedding:
    """What encoders begin with, looked up by token instead of computed from its embedding.

    The table is made once more tokens were read than it has rows, so that making it never takes
    longer than reading did; and again when a weight has changed. Until then, and where it would be
    too large, the same is computed.

    Args:
        embed: The base model's embeddings, ``[V, D]``.
        encoders: Whose projection follows them.

    Example:
        >>> from diekae_rag import DiekaeConfig
        >>> config = DiekaeConfig(layers=[1], base_num_hidden_layers=2, base_hidden_size=8)
        >>> folded = FoldedEmbedding(nn.Embedding(5, 8), Encoders(config))
        >>> with torch.no_grad():  # one passage of three tokens
        ...     before, after = (folded(torch.tensor([[0, 3, 1]])) for _ in range(2))
        >>> before.shape, folded.is_folded, bool(torch.allclose(before, after))
        (torch.Size([1, 1, 3, 128]), True, True)
    """

    def __init__(self, embed: nn.Embedding, encoders: Encoders) -> None:
        self._embed, self._encoders = embed, encoders
        self._table: Tensor | None = None
        self._changes = Changes()
        self._num_read = 0

    @property
    def is_folded(self) -> bool:
        """Whether there is a table by now."""
        return self._table is not None

    def __call__(self, ids: Tensor) -> Tensor:
        """Of token ids, ``[P, K]``, what each body begins with, ``[E, P, K, h]``."""
        kind = self._encoders.device.type
        is_cast = torch.is_autocast_enabled(kind)  # a table would stay as it was cast
        if torch.is_grad_enabled() or is_cast or not self._may_fold():
            return self._begin(ids)
        if self._changes.have_come([self._embed.weight, *self._projections()]):
            self._table, self._num_read = None, 0
        self._num_read += ids.numel()
        table = self._table  # which another thread may take away
        if table is None and self._num_read > self._embed.num_embeddings:
            every = torch.arange(self._embed.num_embeddings)
            rows = [self._begin(some[None])[:, 0] for some in torch.split(every, _ROWS)]
            table = self._table = torch.cat(rows, 1).transpose(0, 1).contiguous()
        if table is None:
            return self._begin(ids)
        return table[ids.to(table.device)].permute(2, 0, 1, 3).contiguous()

    def _begin(self, ids: Tensor) -> Tensor:
        embeddings = self._embed(ids.to(self._embed.weight.device))
        return self._encoders.begin(embeddings.to(self._encoders.device, self._encoders.dtype))

    def _may_fold(self) -> bool:
        config = self._encoders.config
        size = self._embed.num_embeddings * config.num_bodies * config.hidden_size
        return size * self._encoders.dtype.itemsize <= _MOST_BYTES

    def _projections(self) -> list[Tensor]:
        return [body.get_parameter("down.weight") for body in self._encoders.bodies.values()]

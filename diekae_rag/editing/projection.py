"""What is left of a vector when only the relation is to be compared.

Axes: N texts, D vector size of the embedder, P size that is compared.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

__all__ = ["COMMON", "Projection", "fit_projection"]

Vectors = NDArray[np.float32]

COMMON = (
    "X was born in",
    "X died in the year",
    "X works as a",
    "X plays for",
    "X speaks",
    "X is married to",
    "Where does X live?",
    "Who founded X?",
    "X is made by",
    "X is the capital of",
    "The largest town of X is",
    "X is in the country of",
    "X has its offices in",
    "What is X known for? It is",
    "X was written by",
    "X first appeared on",
    "X belongs to",
    "X's favourite colour is",
    "How tall is X?",
    "X studied at",
)
"""What all such texts have in common says nothing of any: their mean is taken off each."""


@dataclass(frozen=True, eq=False)
class Projection:
    """From an embedder's vectors to those that are compared.

    Args:
        centre: ``[D]``, taken off each.
        matrix: ``[D, P]``, or ``[0, 0]`` where all is compared as it is.
    """

    centre: Vectors
    matrix: Vectors

    @classmethod
    def centred(cls, vectors: Vectors) -> Projection:
        """Takes off what ``[N, D]`` vectors have in common."""
        return cls(vectors.mean(0), np.zeros((0, 0), np.float32))

    def apply(self, vectors: Vectors) -> Vectors:
        """``[N, D]`` vectors as ``[N, P]`` of length 1."""
        moved = vectors - self.centre
        if self.matrix.size:
            moved = moved @ self.matrix
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        return np.asarray(moved / np.maximum(lengths, 1e-9), np.float32)

    def to_text(self) -> str:
        """As text, to be kept."""
        arrays = {"centre": self.centre, "matrix": np.ascontiguousarray(self.matrix)}
        return base64.b64encode(save(arrays)).decode()

    @classmethod
    def from_text(cls, text: str) -> Projection:
        """Reads what ``to_text`` wrote.

        Raises:
            ValueError: It is something else.

        Example:
            >>> kept = Projection.centred(np.eye(2, dtype=np.float32)).to_text()
            >>> Projection.from_text(kept).apply(np.array([[3.5, 0.5]], np.float32))
            array([[1., 0.]], dtype=float32)
        """
        try:
            arrays = load(base64.b64decode(text, validate=True))
            return cls(arrays["centre"], arrays["matrix"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"the projection cannot be read ({error})") from error


def fit_projection(
    vectors: Vectors, relations: Sequence[int], *, size: int = 64, seed: int = 0
) -> Projection:
    """Learns to tell relations apart: texts of the same one come near, others move away.

    Args:
        vectors: Those of the texts, ``[N, D]``.
        relations: Which relation each text is about.
        size: P.
        seed: Of the batches.

    Returns:
        A projection from the principal directions of the texts, trained from there.
    """
    centre = vectors.mean(0)
    inputs = torch.from_numpy(vectors - centre)
    labels = torch.tensor(list(relations))
    directions = torch.linalg.svd(inputs, full_matrices=False)[2][:size].T.contiguous()
    matrix = torch.nn.Parameter(directions.clone())
    optimizer = torch.optim.Adam([matrix], lr=3e-3)
    random = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(400):
            some = torch.randint(0, len(inputs), (min(512, len(inputs)),), generator=random)
            near = torch.nn.functional.normalize(inputs[some] @ matrix, dim=1)
            own = torch.eye(len(some), dtype=torch.bool)
            scores = (near @ near.T / 0.1).masked_fill(own, -1e9)
            is_same = (labels[some][:, None] == labels[some][None]) & ~own
            log_shares = scores - scores.logsumexp(1, keepdim=True)
            of_same = (log_shares * is_same).sum(1) / is_same.sum(1).clamp(min=1)
            loss = -of_same.mean() + 1e-3 * (matrix - directions).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Projection(centre, matrix.detach().numpy())

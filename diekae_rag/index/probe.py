"""One text and its vector: enough to tell whether an embedder is the one that made the others.

Axes: D vector size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.embedder import Embedder, unit_vectors
from diekae_rag.index.encodable import encodable_text

__all__ = ["Probe", "check_given"]

_SAME_WITHIN = 0.01


@dataclass(frozen=True, eq=False)
class Probe:
    """A text and the vector that was made of it.

    A name proves nothing (a folder and a hub name can be the same model); the vector does.

    Args:
        text: What was embedded: a passage's text, or what a host embeds in its place.
        vector: ``[D]`` float32.
    """

    text: str
    vector: NDArray[np.float32]

    def reading(self, embedder: Embedder) -> NDArray[np.float32]:
        """What an embedder makes of the text, ``[D]``."""
        return np.asarray(unit_vectors(embedder, [encodable_text(self.text)])[0], np.float32)

    def is_like(self, vector: NDArray[np.float32]) -> bool:
        """True where a vector is this one, but for rounding."""
        return vector.shape == self.vector.shape and bool(
            np.abs(vector - self.vector).max() <= _SAME_WITHIN
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"text": encodable_text(self.text), "vector": [float(v) for v in self.vector]}

    @classmethod
    def read(cls, content: object, vector_size: int) -> Probe:
        """Reads what ``as_dict`` wrote.

        Raises:
            ValueError: It is something else.

        Example:
            >>> Probe.read({"text": "Turin", "vector": [0.6, 0.8]}, 2).vector
            array([0.6, 0.8], dtype=float32)
        """
        if not isinstance(content, dict) or set(content) != {"text", "vector"}:
            raise ValueError("the probe is no text with its vector")
        try:
            vector = np.array(content["vector"], np.float32)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"the probe's vector cannot be read ({error})") from error
        if (
            not isinstance(content["text"], str)
            or vector.shape != (vector_size,)
            or not np.isfinite(vector).all()
        ):
            raise ValueError(f"the probe is no text with {vector_size} numbers")
        return cls(content["text"], vector)


def check_given(embedder: Embedder, probe: Probe) -> None:
    """Makes sure that a vector which was given is one that an index's embedder would make.

    Raises:
        ValueError: It is not.
    """
    reading = probe.reading(embedder)
    if not probe.is_like(reading):
        raise ValueError(
            f"the vectors that came with the passages ({probe.vector.size} numbers each) are not "
            f"those of the index's embedder {embedder.name!r} ({reading.size} numbers); embed "
            "with that one, or make an index for the other."
        )

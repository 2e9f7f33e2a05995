"""Entries and questions to vectors, whoever makes them.

Axes: N entries, Q questions, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.arguments import as_questions
from diekae_rag.index.embedder import Embedder, unit_vectors
from diekae_rag.index.encodable import encodable_text
from diekae_rag.index.entries import Entry
from diekae_rag.index.given import GivenVectors, as_unit_vectors
from diekae_rag.index.probe import Probe, check_given

__all__ = ["Question", "Vector", "check_size", "entry_vectors", "read_questions"]

Vector = Sequence[float] | NDArray[Any]
Question = str | Vector
"""A question, or the vector of one."""


def entry_vectors(
    entries: Sequence[Entry], embedder: Embedder, *, show_progress: bool
) -> NDArray[np.float32]:
    """Embeds the entries that bring no vector.

    The first vector that one brought is held against what the embedder makes of the same text.

    Returns:
        ``[N, D]``, of length 1.

    Raises:
        ValueError: Vectors that are not finite, of several sizes, or another embedder's.
    """
    given = [entry for entry in entries if entry.vector is not None]
    texts = [encodable_text(entry.text_to_embed) for entry in entries if entry.vector is None]
    if not given:
        return unit_vectors(embedder, texts, show_progress=show_progress)
    brought = as_unit_vectors(
        [entry.vector for entry in given], len(given), "whoever gave the vectors"
    )
    if not isinstance(embedder, GivenVectors):
        check_given(embedder, Probe(given[0].text_to_embed, brought[0]))
    if not texts:
        return brought
    made = unit_vectors(embedder, texts, show_progress=show_progress)
    check_size(made, brought.shape[1], embedder)
    vectors = np.empty((len(entries), brought.shape[1]), np.float32)
    is_given = np.array([entry.vector is not None for entry in entries])
    vectors[is_given], vectors[~is_given] = brought, made
    return vectors


def read_questions(queries: Sequence[Question]) -> list[str] | NDArray[np.float32]:
    """Reads questions, or the vectors of questions: all one or all the other.

    Returns:
        The questions, none blank; or ``[Q, D]``, of length 1.

    Raises:
        ValueError: A question is blank, or a vector is not finite.
        TypeError: Something else, or both.
    """
    if isinstance(queries, str) or not any(_is_vector(query) for query in queries):
        return as_questions(queries)  # type: ignore[arg-type]
    if not all(_is_vector(query) for query in queries):
        raise TypeError("questions must be all texts or all vectors.")
    return as_unit_vectors(list(queries), len(queries), "whoever made the question's vector")


def check_size(vectors: NDArray[np.float32], vector_size: int, embedder: Embedder) -> None:
    """Raises unless vectors fit an index; any fit one of size 0.

    Raises:
        ValueError: They have another size.
    """
    if vector_size and vectors.shape[1] != vector_size:
        raise ValueError(
            f"vectors of {vectors.shape[1]} numbers came, this index holds {vector_size} "
            f"(its embedder: {embedder.name!r}); use the embedder that it was built with."
        )


def _is_vector(query: object) -> bool:
    return isinstance(query, np.ndarray | list | tuple)

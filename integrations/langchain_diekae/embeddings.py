"""LangChain's embedding models and our embedders, each usable as the other.

Axes: N texts, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

from diekae_rag.index import Embedder
from diekae_rag.index.embedder import as_embedder, question_vectors, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DiekaeEmbeddings", "EmbeddingLike", "EmbeddingsEmbedder", "read_embedding"]

EmbeddingLike = Embeddings | Embedder | str | Path
"""A LangChain embedding model, an ``Embedder``, or the name of a sentence-transformers model."""


class EmbeddingsEmbedder:
    """A LangChain embedding model as the embedder of an index.

    Passages go to ``embed_documents``, questions to ``embed_query``.

    Args:
        embeddings: The model.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings
        own = getattr(embeddings, "model_name", None) or getattr(embeddings, "model", None)
        kind = type(embeddings).__name__
        self.name = f"{kind} {own}" if isinstance(own, str) else kind

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """``[N, D]`` float32; progress is for the model itself to show."""
        return np.asarray(self.embeddings.embed_documents(list(texts)), np.float32)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[N, D]`` float32."""
        return np.asarray([self.embeddings.embed_query(text) for text in texts], np.float32)


class DiekaeEmbeddings(Embeddings):
    """An index's embedder as a LangChain embedding model.

    Args:
        embedder: The embedder, or a sentence-transformers name.

    Example:
        >>> len(DiekaeEmbeddings("minilm").embed_query("Turin"))
        384
    """

    def __init__(self, embedder: Embedder | str | Path = "minilm") -> None:
        self.embedder = as_embedder(embedder)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of length 1."""
        vectors: list[list[float]] = unit_vectors(self.embedder, texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """A vector of length 1."""
        vector: list[float] = question_vectors(self.embedder, [text])[0].tolist()
        return vector


def read_embedding(embedding: EmbeddingLike) -> Embedder:
    """Reads an embedder from a LangChain embedding model, or from what the core reads.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(embedding, DiekaeEmbeddings):
        return embedding.embedder
    return (
        EmbeddingsEmbedder(embedding)
        if isinstance(embedding, Embeddings)
        else as_embedder(embedding)
    )

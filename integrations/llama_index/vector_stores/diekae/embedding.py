"""LlamaIndex's embedding models and our embedders, each usable as the other.

Axes: N texts, D vector size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from diekae_rag.index import Embedder
from diekae_rag.index.embedder import MINILM, as_embedder, question_vectors, unit_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DiekaeEmbedding", "EmbedModelEmbedder", "EmbedModelLike", "read_embed_model"]

EmbedModelLike = BaseEmbedding | Embedder | str | Path
"""A LlamaIndex embedding model, an ``Embedder``, or a sentence-transformers name."""


class EmbedModelEmbedder:
    """A LlamaIndex embedding model as the embedder of an index.

    Passages go to ``get_text_embedding_batch``, questions to ``get_query_embedding``.

    Args:
        embed_model: The model.
    """

    def __init__(self, embed_model: BaseEmbedding) -> None:
        self.embed_model = embed_model
        own = embed_model.model_name
        kind = embed_model.class_name()
        self.name = kind if own == "unknown" else f"{kind} {own}"

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """``[N, D]`` float32."""
        vectors = self.embed_model.get_text_embedding_batch(
            list(texts), show_progress=show_progress
        )
        return np.asarray(vectors, np.float32)

    def embed_questions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[N, D]`` float32."""
        return np.asarray([self.embed_model.get_query_embedding(text) for text in texts])


class DiekaeEmbedding(BaseEmbedding):
    """An index's embedder as a LlamaIndex embedding model.

    Args:
        embedder: The embedder, or a sentence-transformers name. Not serialized.

    Example:
        >>> len(DiekaeEmbedding("minilm").get_text_embedding("Turin"))
        384
    """

    _embedder: Embedder = PrivateAttr()

    def __init__(self, embedder: Embedder | str | Path = MINILM, **fields: Any) -> None:
        embedder = as_embedder(embedder)
        super().__init__(**{"model_name": embedder.name, **fields})
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized components."""
        return "DiekaeEmbedding"

    @property
    def embedder(self) -> Embedder:
        """What embeds."""
        return self._embedder

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = unit_vectors(self._embedder, texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = question_vectors(self._embedder, [query])[0].tolist()
        return vector

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)


def read_embed_model(embed_model: EmbedModelLike) -> Embedder:
    """Reads an embedder from a LlamaIndex embedding model, or from what the core reads.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(embed_model, DiekaeEmbedding):
        return embed_model.embedder
    if isinstance(embed_model, BaseEmbedding):
        return EmbedModelEmbedder(embed_model)
    return as_embedder(embed_model)

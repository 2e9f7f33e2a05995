"""LlamaIndex over a ``PassageIndex``: text, metadata and vectors in one folder, without pickle."""

try:
    from llama_index.core.vector_stores.types import BasePydanticVectorStore as _Base  # noqa: F401
except ImportError as error:
    raise ImportError(
        "llama_index.vector_stores.diekae needs llama-index-core: "
        'pip install "diekae-rag[llama-index]"'
    ) from error

from llama_index.vector_stores.diekae.base import DiekaeVectorStore
from llama_index.vector_stores.diekae.embedding import DiekaeEmbedding

__all__ = ["DiekaeEmbedding", "DiekaeVectorStore"]

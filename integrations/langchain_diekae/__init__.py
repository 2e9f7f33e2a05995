"""LangChain on top of ``diekae_rag``: passages go to the encoders, never into the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from langchain_diekae.chains import create_diekae_documents_chain
    from langchain_diekae.chat import ChatDiekae
    from langchain_diekae.embeddings import DiekaeEmbeddings
    from langchain_diekae.llm import DiekaeLLM
    from langchain_diekae.retriever import DiekaeRetriever
    from langchain_diekae.vectorstore import DiekaeVectorStore
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError(
        'langchain_diekae needs langchain-core: pip install "diekae-rag[langchain]"'
    ) from error

if TYPE_CHECKING:
    from langchain_diekae.middleware import DiekaeMiddleware

__all__ = [
    "ChatDiekae",
    "DiekaeEmbeddings",
    "DiekaeLLM",
    "DiekaeMiddleware",
    "DiekaeRetriever",
    "DiekaeVectorStore",
    "create_diekae_documents_chain",
]


def __getattr__(name: str) -> Any:
    """Imports what only agents need when it is first used."""
    if name != "DiekaeMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from langchain_diekae.middleware import DiekaeMiddleware
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "langchain":
            raise
        raise ImportError(
            'DiekaeMiddleware needs langchain: pip install "diekae-rag[agents]"'
        ) from error
    return DiekaeMiddleware

"""LangChain on top of ``diekae_rag``: passages go to the encoders, never into the prompt."""

from __future__ import annotations

try:
    from langchain_diekae.chains import create_diekae_documents_chain
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

__all__ = [
    "DiekaeEmbeddings",
    "DiekaeLLM",
    "DiekaeRetriever",
    "DiekaeVectorStore",
    "create_diekae_documents_chain",
]

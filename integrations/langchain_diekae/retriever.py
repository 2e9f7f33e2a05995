"""A ``PassageIndex`` as a LangChain retriever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import ConfigDict, Field, model_validator

from diekae_rag import PassageIndex
from diekae_rag.index.arguments import as_count
from langchain_diekae.documents import to_document
from langchain_diekae.embeddings import EmbeddingLike, read_embedding
from langchain_diekae.filters import FilterLike, check_filter, read_filter

__all__ = ["DiekaeRetriever"]


class DiekaeRetriever(BaseRetriever):
    """Finds the documents nearest to a question, best first.

    A document has the passage's text, id and metadata, and its score as ``metadata["score"]`` (in
    place of metadata of that name); ``DiekaeLLM`` gives it back with the answer's sources. ``k``
    and ``filter`` may also be given to ``invoke`` and ``ainvoke``.

    Args:
        index: Where to look.
        k: How many to find; with fewer in the index, all of them.
        filter: Which passages may be found, as for ``DiekaeVectorStore``.
        with_scores: Put scores into the metadata. Turn it off under ``MultiQueryRetriever``, which
            takes a document found with two scores for two documents.

    Raises:
        ValueError: ``k`` is below 1; in a call, also where the question is blank.
    """

    index: PassageIndex = Field(exclude=True, repr=False)
    k: int = 4
    filter: Any = None
    with_scores: bool = True

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        as_count(self.k)
        if not callable(self.filter):
            check_filter(self.filter)
        return self

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, embedder: EmbeddingLike | None = None, **fields: Any
    ) -> DiekaeRetriever:
        """Reads an index that ``PassageIndex.save`` wrote.

        Args:
            folder: Where it was saved.
            embedder: As for ``PassageIndex.load``, or a LangChain embedding model.
            **fields: ``k``, ``filter`` and the like.

        Raises:
            IndexFolderError: The folder is missing, foreign or damaged.
        """
        given = None if embedder is None else read_embedding(embedder)
        return cls(index=PassageIndex.load(folder, embedder=given), **fields)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: FilterLike | None = None,
    ) -> list[Document]:
        wanted = self.k if k is None else k
        conditions = self.filter if filter is None else filter
        found = self.index.search(query, wanted, read_filter(conditions, self.index))
        if not self.with_scores:
            found = [replace(passage, score=None) for passage in found]
        return [to_document(passage) for passage in found]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: FilterLike | None = None,
    ) -> list[Document]:
        return await run_in_executor(
            None,
            self._get_relevant_documents,
            query,
            run_manager=run_manager.get_sync(),
            k=k,
            filter=filter,
        )

"""A ``PassageIndex`` as a LangChain vector store."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from diekae_rag import Passage, PassageIndex
from diekae_rag.index.embedding import Question
from langchain_diekae.documents import to_document
from langchain_diekae.embeddings import (
    DiekaeEmbeddings,
    EmbeddingLike,
    EmbeddingsEmbedder,
    read_embedding,
)
from langchain_diekae.filters import FilterLike, read_filter

__all__ = ["DiekaeVectorStore"]


class DiekaeVectorStore(VectorStore):
    """Documents in a ``PassageIndex``: exact search, filters that run before it, no pickle.

    Scores are cosines: 1 for the same direction, 0 for nothing in common, -1 for the opposite. A
    relevance score is the same, with everything below 0 as 0. Every search takes ``filter=``:
    ``{key: value}`` as for ``PassageIndex.search``, also with operators (``{"year": {"$gte":
    1990}}``, ``$or``), a condition, or a function of a document; ``k`` passages come back whenever
    ``k`` match. Metadata must be JSON values.

    An index has one embedder for good. A store of an index uses the index's; a new one uses
    ``embedding`` or, without it, ``"minilm"``. What is opened with another embedding model than it
    was built with is refused.

    Args:
        index: Where the documents are; shared with whoever else has it.
        embedding: Embeds the documents of a new, empty index.

    Raises:
        TypeError: Both were given.

    Example:
        >>> store = DiekaeVectorStore()
        >>> store.add_texts(["Ada lives in Turin.", "Bread is baked."], ids=["ada", "bread"])
        ['ada', 'bread']
        >>> [document.id for document in store.similarity_search("Which city is her home?", k=1)]
        ['ada']
    """

    def __init__(
        self, index: PassageIndex | None = None, *, embedding: EmbeddingLike | None = None
    ) -> None:
        if index is not None and embedding is not None:
            raise TypeError("an index has its embedder already; pass index or embedding, not both.")
        if index is None:
            index = PassageIndex(read_embedding("minilm" if embedding is None else embedding))
        elif not isinstance(index, PassageIndex):
            raise TypeError(
                f"index must be a PassageIndex, got {type(index).__name__}; for a folder there "
                "is DiekaeVectorStore.from_folder, for a model embedding=."
            )
        self.index = index

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.index!r})"

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, embedding: EmbeddingLike | None = None
    ) -> DiekaeVectorStore:
        """Reads an index that ``save`` wrote, here, in LlamaIndex or by ``diekae index``.

        Args:
            folder: Where it was saved.
            embedding: What it was built with, where ``PassageIndex.load`` needs to be told.

        Raises:
            IndexFolderError: The folder is missing, foreign or damaged, or its vectors come from
                another embedding model.
        """
        embedder = None if embedding is None else read_embedding(embedding)
        return cls(PassageIndex.load(folder, embedder))

    def save(self, folder: str | Path) -> None:
        """Writes the index to a folder, whole or not at all."""
        self.index.save(folder)

    @property
    def embeddings(self) -> Embeddings:
        """What embeds documents and questions."""
        embedder = self.index.embedder
        if isinstance(embedder, EmbeddingsEmbedder):
            return embedder.embeddings
        return DiekaeEmbeddings(embedder)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: EmbeddingLike,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A new store of texts; further arguments are those of the class."""
        store = cls(embedding=embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts; see ``add_documents``.

        Raises:
            ValueError: There are not as many ``metadatas`` or ``ids`` as texts.
            TypeError: ``texts`` is one string.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list, got one string; wrap it: [text].")
        texts = list(texts)
        if metadatas and len(metadatas) != len(texts):
            raise ValueError(f"{len(texts)} texts came with {len(metadatas)} metadatas.")
        documents = [
            Document(page_content=text, metadata=metadata)
            for text, metadata in zip(texts, metadatas or [{} for _ in texts], strict=True)
        ]
        return self.add_documents(documents, ids=ids, **kwargs)

    def add_documents(
        self,
        documents: list[Document],
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds documents; one whose id is there already takes that document's place.

        Args:
            documents: What to add; one of only spaces is left out with a warning.
            ids: In place of the documents' own ids. A document without any gets a new one.
            batch_size: Embed and add so many at once; all or none of a batch is added. By default
                everything is one batch.
            **kwargs: Nothing.

        Returns:
            The id of every document that was added, in order.

        Raises:
            ValueError: There are not as many ``ids`` as documents.
            TypeError: Metadata that is not JSON, or an unknown argument.
        """
        if kwargs:
            raise TypeError(f"add_documents has no argument {next(iter(kwargs))!r}.")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size={batch_size} adds nothing; give 1 or more.")
        documents = list(documents)
        if ids is None:
            ids = [document.id for document in documents]
        if len(ids) != len(documents):
            raise ValueError(f"{len(documents)} documents came with {len(ids)} ids.")
        passages = [
            Passage(document.page_content, id_ or str(uuid.uuid4()), None, document.metadata)
            for document, id_ in zip(documents, ids, strict=True)
        ]
        step = batch_size or len(passages) or 1
        for start in range(0, len(passages), step):
            self.index.add(passages[start : start + step])
        return [passage.id for passage in passages if not passage.is_blank]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Deletes documents, or all of them where ``ids`` is ``None``; missing ones are no error.

        Raises:
            TypeError: ``ids`` is no list, or an unknown argument.
        """
        if kwargs:
            raise TypeError(f"delete has no argument {next(iter(kwargs))!r}.")
        if ids is None:
            self.index.delete_matching({})
        else:
            self.index.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Returns documents in the order asked for; those that are not there are left out."""
        return [to_document(passage) for passage in self.index.get(ids)]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Finds the documents nearest to a question; takes ``filter``."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """As ``similarity_search``, with cosines: the larger, the nearer."""
        return [_scored(passage) for passage in self._search(query, k, **kwargs)]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """As ``similarity_search``, for the vector of a question."""
        return [_scored(passage)[0] for passage in self._search(embedding, k, **kwargs)]

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """Finds documents near to a question that differ from each other; takes ``filter``."""
        return self._search_diverse(query, k, fetch_k, lambda_mult, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """As ``max_marginal_relevance_search``, for the vector of a question."""
        return self._search_diverse(embedding, k, fetch_k, lambda_mult, **kwargs)

    def _search(
        self, question: Question, k: int, filter: FilterLike | None = None
    ) -> list[Passage]:
        return self.index.search(question, k, read_filter(filter, self.index))

    def _search_diverse(
        self,
        question: Question,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter: FilterLike | None = None,
    ) -> list[Document]:
        found = self.index.search_diverse(
            question,
            k,
            read_filter(filter, self.index),
            fetch_k=fetch_k,
            relevance=lambda_mult,
        )
        return [_scored(passage)[0] for passage in found]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _relevance


def _scored(passage: Passage) -> tuple[Document, float]:
    """A document without its score, which LangChain wants beside it."""
    document = Document(page_content=passage.text, id=passage.id, metadata=dict(passage.metadata))
    return document, float(passage.score or 0.0)


def _relevance(cosine: float) -> float:
    return min(1.0, max(0.0, cosine))

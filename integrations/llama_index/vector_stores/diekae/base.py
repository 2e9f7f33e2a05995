"""A ``PassageIndex`` as a LlamaIndex vector store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.vector_stores.diekae.embedding import (
    DiekaeEmbedding,
    EmbedModelEmbedder,
    EmbedModelLike,
    read_embed_model,
)
from llama_index.vector_stores.diekae.filters import read_filters
from llama_index.vector_stores.diekae.in_threads import InThreads
from llama_index.vector_stores.diekae.nodes import to_entry, to_node

from diekae_rag import Passage, PassageIndex
from diekae_rag.index import GivenVectors
from diekae_rag.index.conditions import FromDocument

__all__ = ["DiekaeVectorStore"]


class DiekaeVectorStore(InThreads):
    """Nodes in a ``PassageIndex``: exact search, filters that run before it, no pickle.

    LlamaIndex embeds nodes and questions itself and hands over the vectors. A store that was made
    without more takes them, of one size. A store of an index that has an embedder (one that was
    given ``embed_model=``, or opened from a folder that names it) holds every first vector of
    nodes it is given against that embedder, and refuses another's: give ``store.embed_model`` to
    ``VectorStoreIndex``. ``similarities`` are cosines, also with MMR.

    Args:
        index: Where the nodes are; shared with whoever else has it.
        embed_model: Whose vectors a new, empty index will hold.

    Raises:
        TypeError: Both were given, or something else.

    Example:
        >>> from llama_index.core import VectorStoreIndex
        >>> store = DiekaeVectorStore(embed_model="minilm")
        >>> index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        >>> index.insert_nodes([to_node(Passage("Ada lives in Turin."), None)])
        >>> [found.text for found in index.as_retriever().retrieve("Which city is her home?")]
        ['Ada lives in Turin.']
    """

    stores_text: bool = True
    index: PassageIndex = Field(exclude=True, repr=False)

    def __init__(
        self, index: PassageIndex | None = None, *, embed_model: EmbedModelLike | None = None
    ) -> None:
        if index is not None and embed_model is not None:
            raise TypeError("an index has its embedder already; pass index or embed_model.")
        if index is None:
            index = PassageIndex(
                GivenVectors() if embed_model is None else read_embed_model(embed_model)
            )
        if not isinstance(index, PassageIndex):
            raise TypeError(
                f"index must be a PassageIndex, got {type(index).__name__}; for a folder there "
                "is DiekaeVectorStore.from_folder, for a model embed_model=."
            )
        super().__init__(index=index)  # type: ignore[call-arg]  # A field of ours, not of the base.

    @classmethod
    def class_name(cls) -> str:
        """The name in serialized components."""
        return "DiekaeVectorStore"

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, embed_model: EmbedModelLike | None = None
    ) -> DiekaeVectorStore:
        """Reads an index that ``persist`` wrote, or LangChain's store, or ``diekae index``.

        Args:
            folder: Where it was saved.
            embed_model: What it was built with. Without it the store uses the embedder that the
                folder names, if that may be loaded unasked, and else takes vectors as they come.

        Raises:
            IndexFolderError: The folder is missing, foreign or damaged, or its vectors come from
                another embedding model.
        """
        embedder = None if embed_model is None else read_embed_model(embed_model)
        return cls(PassageIndex.load(folder, embedder, takes_vectors=True))

    def persist(self, persist_path: str, fs: AbstractFileSystem | None = None) -> None:
        """Writes the index to a folder, whole or not at all.

        Raises:
            ValueError: ``fs`` is not the local file system.
        """
        if fs is not None and not isinstance(fs, LocalFileSystem):
            raise ValueError(f"an index is saved to local disks only, got {type(fs).__name__}.")
        self.index.save(persist_path)

    @property
    def client(self) -> PassageIndex:
        """The index."""
        return self.index

    @property
    def embed_model(self) -> BaseEmbedding:
        """The index's embedder, for ``VectorStoreIndex``; one without an embedder raises in use."""
        embedder = self.index.embedder
        if isinstance(embedder, EmbedModelEmbedder):
            return embedder.embed_model
        return DiekaeEmbedding(embedder)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Adds nodes; one whose id is there already takes that node's place.

        A node without an embedding is embedded by the index's embedder. One without text is left
        out with a warning: there is nothing that could be read.

        Returns:
            The id of every node.

        Raises:
            ValueError: An embedding of another size or another embedder.
            TypeError: Metadata that JSON cannot hold.
        """
        _refuse(kwargs)
        self.index.add_entries([to_entry(node) for node in nodes])
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Deletes the nodes of a document."""
        _refuse(delete_kwargs)
        self.index.delete_matching(FromDocument([ref_doc_id]))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Deletes the nodes that are among ``node_ids`` and pass the filters.

        Raises:
            ValueError: Neither was given; ``clear`` deletes everything.
        """
        _refuse(delete_kwargs)
        if node_ids is None and filters is None:
            raise ValueError("delete_nodes needs node_ids or filters; clear() deletes all nodes.")
        self.index.delete_matching(read_filters(filters, node_ids=node_ids))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Returns the nodes that are among ``node_ids`` and pass the filters, as they were added.

        Without either, all nodes.
        """
        return self._nodes(self.index.matching(read_filters(filters, node_ids=node_ids)))

    def clear(self) -> None:
        """Deletes all nodes."""
        self.index.delete_matching({})

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Finds the nodes nearest to a vector, or to a question where there is no vector.

        Filters, ``node_ids`` and ``doc_ids`` apply before the search. No ``node_ids`` are no
        restriction (retrievers send an empty list); no ``doc_ids`` are no documents.

        Args:
            query: In mode ``default`` or ``mmr``.
            **kwargs: For MMR, ``mmr_threshold`` (1 is similarity alone; the query's own counts
                first; 0.5) and ``mmr_prefetch_k`` (from how many to choose; four times as many as
                are wanted, at least 20).

        Raises:
            ValueError: Another mode, or a vector of another size.
            TypeError: An unknown argument, or a filter that cannot be read.
        """
        filter = read_filters(query.filters, node_ids=query.node_ids or None, doc_ids=query.doc_ids)
        question = query.query_str if query.query_embedding is None else query.query_embedding
        if question is None:
            raise ValueError("a query needs a query_embedding or a query_str.")
        count = query.similarity_top_k
        if query.mode == VectorStoreQueryMode.MMR:
            threshold = kwargs.pop("mmr_threshold", None)
            fetch_k = kwargs.pop("mmr_prefetch_k", max(20, 4 * count))
            if query.mmr_threshold is not None:
                threshold = query.mmr_threshold
            _refuse(kwargs)
            found = self.index.search_diverse(
                question,
                count,
                filter,
                fetch_k=fetch_k,
                relevance=0.5 if threshold is None else threshold,
            )
        elif query.mode == VectorStoreQueryMode.DEFAULT:
            _refuse(kwargs)
            found = self.index.search(question, count, filter)
        else:
            raise ValueError(f"there is no mode {query.mode.value!r}; use 'default' or 'mmr'.")
        return VectorStoreQueryResult(
            nodes=self._nodes(found),
            similarities=[float(passage.score or 0.0) for passage in found],
            ids=[passage.id for passage in found],
        )

    def _nodes(self, passages: Sequence[Passage]) -> list[BaseNode]:
        attachments = self.index.attachments(passage.id for passage in passages)
        return [to_node(passage, attachments.get(passage.id)) for passage in passages]


def _refuse(kwargs: Mapping[str, Any]) -> None:
    if kwargs:
        raise TypeError(f"DiekaeVectorStore does not know the argument {next(iter(kwargs))!r}.")

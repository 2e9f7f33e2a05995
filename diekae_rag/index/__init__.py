"""Retrieval: documents are read, embedded, stored, and found again.

``read_documents`` turns a folder into passages, an ``Embedder`` turns passages into vectors, and
``PassageIndex`` keeps both and finds the passages nearest to a question. Importing this package
loads neither FAISS nor sentence-transformers; the first use does.
"""

from diekae_rag.index.documents import Documents, SkippedFile, read_documents
from diekae_rag.index.embedder import Embedder, SentenceTransformerEmbedder
from diekae_rag.index.entries import Entry
from diekae_rag.index.folder import IndexFolderError
from diekae_rag.index.given import GivenVectors
from diekae_rag.index.passage_index import PassageIndex

__all__ = [
    "Documents",
    "Embedder",
    "Entry",
    "GivenVectors",
    "IndexFolderError",
    "PassageIndex",
    "SentenceTransformerEmbedder",
    "SkippedFile",
    "read_documents",
]

"""LangChain's own tests of embedding models, for the one that wraps an index's embedder."""

from langchain_diekae import DiekaeEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from .conftest import HashingEmbedder


class _Setup:
    embeddings_class = DiekaeEmbeddings

    @property
    def embedding_model_params(self):
        return {"embedder": HashingEmbedder()}


class TestDiekaeEmbeddingsUnit(_Setup, EmbeddingsUnitTests):
    pass


class TestDiekaeEmbeddingsIntegration(_Setup, EmbeddingsIntegrationTests):
    pass

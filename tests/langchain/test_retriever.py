"""DiekaeRetriever: LangChain's own tests, and what they do not ask."""

import asyncio

import pytest
from langchain_diekae import DiekaeRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from diekae_rag import PassageIndex
from diekae_rag.index.conditions import Where

QUERY = "Where does Ada live?"


class TestDiekaeRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _index(self, index):
        self.index = index

    @property
    def retriever_constructor(self):
        return DiekaeRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index}

    @property
    def retriever_query_example(self):
        return QUERY

    @pytest.fixture
    def retriever(self, _index):
        return self.retriever_constructor(**self.retriever_constructor_params)


def test_documents_keep_id_metadata_and_score(index, retriever):
    first, *_ = retriever.invoke("Ada lives in Zanzibar.")

    (found,) = index.search("Ada lives in Zanzibar.", k=1)
    assert (first.id, first.page_content) == ("ada", "Ada lives in Zanzibar.")
    assert first.metadata == {"kind": "person", "score": found.score}


def test_scores_can_be_left_out(index):
    first, *_ = DiekaeRetriever(index=index, with_scores=False).invoke("Ada lives in Zanzibar.")

    assert first.metadata == {"kind": "person"}


def test_it_filters_with_conditions_too(index):
    retriever = DiekaeRetriever(index=index, filter=Where("kind", "!=", "person"))

    assert {document.id for document in retriever.invoke(QUERY)} == {"turin", "oslo"}


def test_a_call_may_change_k_and_filter(retriever):
    asked = {"k": 3, "filter": {"kind": "town"}}

    towns = retriever.invoke(QUERY, **asked)

    assert {document.id for document in towns} == {"turin", "oslo"}
    assert asyncio.run(retriever.ainvoke(QUERY, **asked)) == towns
    assert len(retriever.invoke(QUERY)) == 2


def test_the_constructor_may_filter(index):
    retriever = DiekaeRetriever(index=index, filter={"kind": "town"})

    assert {document.id for document in retriever.invoke(QUERY)} == {"turin", "oslo"}


def test_k_beyond_the_index_finds_all(index):
    assert len(DiekaeRetriever(index=index, k=99).invoke(QUERY)) == 4


def test_it_reads_a_saved_index(index, embedder, tmp_path):
    index.save(tmp_path / "index")

    retriever = DiekaeRetriever.from_folder(tmp_path / "index", embedder=embedder, k=1)

    assert retriever.invoke("Ada lives in Zanzibar.")[0].id == "ada"


def test_an_empty_index_finds_nothing(embedder):
    assert DiekaeRetriever(index=PassageIndex(embedder)).invoke(QUERY) == []


@pytest.mark.parametrize("fields", [{"k": 0}, {"k": -1}, {"filter": "kind"}, {"top_k": 3}], ids=str)
def test_nonsense_is_refused_at_construction(index, fields):
    with pytest.raises((ValueError, TypeError)):
        DiekaeRetriever(index=index, **fields)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": -3}, {"filter": "kind"}, {"top_k": 3}], ids=str)
def test_nonsense_is_refused_in_a_call(retriever, wrong):
    with pytest.raises((ValueError, TypeError)):
        retriever.invoke(QUERY, **wrong)
    with pytest.raises((ValueError, TypeError)):
        asyncio.run(retriever.ainvoke(QUERY, **wrong))


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_question_is_refused(retriever, blank):
    with pytest.raises(ValueError, match="blank"):
        retriever.invoke(blank)


def test_the_index_stays_out_of_traces(retriever):
    assert "PassageIndex" not in repr(retriever)
    assert "index" not in retriever.model_dump()

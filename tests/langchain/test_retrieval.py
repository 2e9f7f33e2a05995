"""LangChain's own retrievers, indexing and LCEL over the store and the retriever."""

import asyncio

import numpy as np
import pytest
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiQueryRetriever,
    ParentDocumentRetriever,
)
from langchain_classic.retrievers.document_compressors import (
    CrossEncoderReranker,
    DocumentCompressorPipeline,
)
from langchain_classic.storage import create_kv_docstore
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex
from langchain_core.indexing import index as index_documents
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.stores import InMemoryByteStore
from langchain_core.tools import create_retriever_tool
from langchain_diekae import DiekaeRetriever, DiekaeVectorStore
from langchain_text_splitters import CharacterTextSplitter

from .conftest import QUESTION, SECRETS, collect

WORDINGS = ("Ada lives in Zanzibar.", "Oslo lies on a fjord.")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def store(index):
    return DiekaeVectorStore(index)


@pytest.fixture(params=["store", "retriever"])
def finder(request, store, retriever):
    return store.as_retriever(search_kwargs={"k": 2}) if request.param == "store" else retriever


def ids(documents):
    return [document.id for document in documents]


@pytest.fixture(params=["store", "retriever"])
def finder_without_scores(request, store, index):
    if request.param == "store":
        return store.as_retriever(search_kwargs={"k": 2})
    return DiekaeRetriever(index=index, k=2, with_scores=False)


def test_several_wordings_find_what_any_of_them_finds_once(finder_without_scores):
    wordings = RunnableLambda(lambda _: [*WORDINGS, WORDINGS[0].upper()])
    retriever = MultiQueryRetriever(retriever=finder_without_scores, llm_chain=wordings)

    found = ids(retriever.invoke(QUESTION))

    expected = [ids(finder_without_scores.invoke(wording)) for wording in WORDINGS]
    assert len(found) == len(set(found))
    assert set(found) == set().union(*expected)
    assert ids(asyncio.run(retriever.ainvoke(QUESTION))) == found


def test_the_reader_itself_may_word_the_questions(finder_without_scores, reader):
    retriever = MultiQueryRetriever.from_llm(finder_without_scores, reader, include_original=True)

    found = ids(retriever.invoke("Ada lives in Zanzibar."))

    assert "ada" in found
    assert len(found) == len(set(found))


class Cosines(BaseCrossEncoder):
    """Scores pairs by an embedding model."""

    def __init__(self, embeddings):
        self.embeddings = embeddings

    def score(self, text_pairs):
        embed = self.embeddings.embed_query
        return [float(np.dot(embed(one), embed(other))) for one, other in text_pairs]


def test_compression_splits_and_reranks_what_was_found(finder, store):
    pipeline = DocumentCompressorPipeline(
        transformers=[
            CharacterTextSplitter(separator=" lives ", chunk_size=5, chunk_overlap=0),
            CrossEncoderReranker(model=Cosines(store.embeddings), top_n=1),
        ]
    )
    retriever = ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=finder)

    (found,) = retriever.invoke("in Zanzibar.")

    assert found.page_content == "in Zanzibar."
    assert asyncio.run(retriever.ainvoke("in Zanzibar.")) == [found]


def test_an_ensemble_joins_the_store_and_the_retriever(store, retriever):
    towns = store.as_retriever(search_kwargs={"k": 1, "filter": {"kind": "town"}})
    ensemble = EnsembleRetriever(retrievers=[towns, retriever], weights=[0.5, 0.5], id_key=None)

    found = ids(ensemble.invoke("Ada lives in Zanzibar."))

    assert {"ada"} < set(found)
    assert {"oslo", "turin"} & set(found)
    assert len(found) == len(set(found))


def test_a_retriever_of_parents_gives_the_whole_of_what_its_parts_find(embedder):
    store = DiekaeVectorStore(embedding=embedder)
    parents = ParentDocumentRetriever(
        vectorstore=store,
        docstore=create_kv_docstore(InMemoryByteStore()),
        child_splitter=CharacterTextSplitter(separator=". ", chunk_size=25, chunk_overlap=0),
        search_kwargs={"k": 1},
    )
    whole = "Ada lives in Zanzibar. Bob lives in Quebec. Turin lies on the Po."
    parents.add_documents([Document(page_content=whole), Document(page_content="Oslo. A fjord.")])

    (found,) = parents.invoke("Bob lives in Quebec")

    assert found.page_content == whole
    assert len(store.index) > 2


def documents(*texts, source):
    return [Document(page_content=text, metadata={"source": source}) for text in texts]


@pytest.mark.parametrize("use_async", [False, True], ids=["sync", "async"])
def test_indexing_adds_what_is_new_and_deletes_what_is_gone(embedder, use_async):
    store = DiekaeVectorStore(embedding=embedder)
    manager = InMemoryRecordManager("diekae")
    manager.create_schema()

    def synchronise(docs, cleanup):
        options = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256"}
        if use_async:
            return asyncio.run(aindex(docs, manager, store, **options))
        return index_documents(docs, manager, store, **options)

    first = synchronise(documents("Ada.", "Bob.", "Ada.", source="a"), "incremental")
    again = synchronise(documents("Ada.", "Bob.", source="a"), "incremental")
    changed = synchronise(documents("Ada.", "Olo.", source="a"), "incremental")
    texts = {passage.text for passage in store.index}
    emptied = synchronise([], "full")

    assert (first["num_added"], again["num_skipped"]) == (2, 2)
    assert (changed["num_added"], changed["num_deleted"]) == (1, 1)
    assert texts == {"Ada.", "Olo."}
    assert emptied["num_deleted"] == 2
    assert len(store.index) == 0


def test_in_lcel_passages_stay_out_of_the_prompt(finder, reader, read_by_base):
    prompt = PromptTemplate.from_template("{context}\n\nQuestion: {input}\nAnswer:")
    chain = (
        {"context": finder | reader.format_docs, "input": RunnablePassthrough()}
        | prompt
        | reader
        | StrOutputParser()
    )

    answers = [
        chain.invoke(QUESTION),
        asyncio.run(chain.ainvoke(QUESTION)),
        "".join(chain.stream(QUESTION)),
        asyncio.run(collect(chain.astream(QUESTION))),
        chain.batch([QUESTION])[0],
    ]

    texts = [document.page_content for document in finder.invoke(QUESTION)]
    wording = f"Question: {QUESTION}\nAnswer:"
    assert set(answers) == {reader.engine.generate(wording, texts, max_new_tokens=8).text}
    assert not [text for text in read_by_base if any(secret in text for secret in SECRETS)]


def test_a_retriever_tool_gives_documents_to_agents(finder):
    tool = create_retriever_tool(
        finder, "people", "Finds people.", response_format="content_and_artifact"
    )
    call = {"name": "people", "args": {"query": "Ada"}, "id": "1", "type": "tool_call"}

    message = tool.invoke(call)

    assert ids(message.artifact) == ids(finder.invoke("Ada"))

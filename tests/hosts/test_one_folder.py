"""One folder opens in both hosts, and each finds there what the other put in."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_diekae import DiekaeRetriever
from langchain_diekae import DiekaeVectorStore as LangChainStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.vector_stores.diekae import DiekaeVectorStore as LlamaIndexStore

ADA = "Ada lives in Turin."
BREAD = "Bread is baked at dawn."


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def node():
    return TextNode(
        text=ADA,
        id_="ada",
        metadata={"kind": "person"},
        excluded_embed_metadata_keys=["kind"],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="people.txt")},
    )


def filled_by_llama_index(folder, node):
    store = LlamaIndexStore(embed_model="minilm")
    VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model).insert_nodes([node])
    store.persist(str(folder))


def test_langchain_reads_what_llama_index_wrote_and_nothing_leaks(folder, node):
    filled_by_llama_index(folder, node)

    store = LangChainStore.from_folder(folder)

    expected = Document(id="ada", page_content=ADA, metadata={"kind": "person"})
    assert store.similarity_search("Which city is her home?") == [expected]
    assert store.get_by_ids(["ada"]) == [expected]
    assert store.similarity_search("home", filter={"kind": "person"}) == [expected]
    assert store.similarity_search("home", filter={"doc_id": "people.txt"}) == []
    (found,) = DiekaeRetriever.from_folder(folder).invoke("home")
    assert set(found.metadata) == {"kind", "score"}


def test_llama_index_reads_what_langchain_wrote(folder):
    store = LangChainStore(embedding="minilm")
    store.add_texts([ADA, BREAD], [{"kind": "person"}, {"kind": "food"}], ids=["ada", "bread"])
    store.save(folder)

    opened = LlamaIndexStore.from_folder(folder)
    index = VectorStoreIndex.from_vector_store(opened, embed_model=opened.embed_model)

    (found,) = index.as_retriever(similarity_top_k=1).retrieve("bakery")
    (document, score) = store.similarity_search_with_score("bakery", k=1)[0]
    assert found.node.get_content() == document.page_content == BREAD
    assert (found.node.node_id, found.node.metadata) == ("bread", {"kind": "food"})
    assert found.score == pytest.approx(score)


def test_there_and_back_again_nodes_are_whole(folder, node):
    filled_by_llama_index(folder, node)
    store = LangChainStore.from_folder(folder)
    store.add_texts([BREAD], ids=["bread"])
    store.save(folder)

    opened = LlamaIndexStore.from_folder(folder)

    assert opened.get_nodes(["ada"]) == [node]
    opened.delete("people.txt")
    assert [each.node_id for each in opened.get_nodes()] == ["bread"]


def test_what_one_host_replaces_is_the_others_new_passage(folder, node):
    filled_by_llama_index(folder, node)
    store = LangChainStore.from_folder(folder)
    store.add_texts([BREAD], [{"kind": "food"}], ids=["ada"])
    store.save(folder)

    (found,) = LlamaIndexStore.from_folder(folder).get_nodes()

    assert (found.get_content(), found.metadata) == (BREAD, {"kind": "food"})
    assert found.ref_doc_id is None

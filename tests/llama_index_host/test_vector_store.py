"""DiekaeVectorStore under LlamaIndex's own indexes, retrievers, pipelines and storage."""

from __future__ import annotations

import datetime
import importlib
import sys
import threading

import fsspec
import pytest
from llama_index.core import (
    Document,
    MockEmbedding,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import (
    IndexNode,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.diekae import DiekaeEmbedding, DiekaeVectorStore

from diekae_rag import PassageIndex
from diekae_rag.index import IndexFolderError

CHARACTERS = "abcdefghijklmnopqrstuvwxyz"


class LetterEmbedding(BaseEmbedding):
    """Counts letters."""

    def _get_text_embedding(self, text):
        return [float(text.lower().count(c)) + 0.01 for c in CHARACTERS]

    def _get_query_embedding(self, query):
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query):
        return self._get_text_embedding(query)


@pytest.fixture
def embed_model():
    return LetterEmbedding(model_name="letters")


def node(text, id_, document=None, **metadata):
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)} if document else {}
    return TextNode(text=text, id_=id_, metadata=metadata, relationships=relationships)


@pytest.fixture
def nodes():
    return [
        node("Ilma Bresk was born in Kolwick.", "ilma", "people", kind="person", year=1990),
        node("Tarn Odell lives in Morvane.", "tarn", "people", kind="person", year=2001),
        node("Kolwick is a town.", "kolwick", "places", kind="town", old=True),
    ]


@pytest.fixture
def store():
    return DiekaeVectorStore()


@pytest.fixture
def index(store, nodes, embed_model):
    built = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
    built.insert_nodes(nodes)
    return built


def ids(found):
    return [item.node.node_id for item in found]


def where(key, value, operator=FilterOperator.EQ):
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


# Searching


def test_an_index_over_the_store_finds_nodes_as_they_were_with_cosines(index, nodes):
    first, *others = index.as_retriever(similarity_top_k=3).retrieve(
        nodes[0].get_content(metadata_mode=MetadataMode.EMBED)
    )

    assert first.node == nodes[0]
    assert first.score == pytest.approx(1, abs=1e-5)
    assert all(0 < other.score < first.score for other in others)


async def test_async_retrieval_finds_the_same(index):
    retriever = index.as_retriever(similarity_top_k=2)

    assert await retriever.aretrieve("Kolwick") == retriever.retrieve("Kolwick")


def test_a_retriever_filters_by_metadata_documents_and_nodes(index, store):
    vector = LetterEmbedding().get_query_embedding("Kolwick")

    def found(**restrictions):
        return set(store.query(VectorStoreQuery(vector, 5, **restrictions)).ids)

    assert ids(index.as_retriever(filters=where("kind", "town")).retrieve("Odell")) == ["kolwick"]
    assert ids(index.as_retriever(doc_ids=["places"]).retrieve("Odell")) == ["kolwick"]
    assert found(node_ids=["ilma", "kolwick"]) == {"ilma", "kolwick"}
    assert found(node_ids=["ilma", "kolwick"], doc_ids=["people"]) == {"ilma"}
    assert found(node_ids=[]) == {"ilma", "tarn", "kolwick"}
    assert found(doc_ids=[]) == set()
    assert found(doc_ids=["people"], filters=where("year", 1995, FilterOperator.GT)) == {"tarn"}


def test_a_filter_that_matches_one_of_many_finds_it(store, embed_model):
    crowd = [node(f"Kolwick {n}", f"{n}", n=n) for n in range(500)]
    built = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
    built.insert_nodes([*crowd, node("elsewhere", "x", n=-1)])

    assert ids(built.as_retriever(filters=where("n", -1)).retrieve("Kolwick")) == ["x"]


def test_mmr_passes_over_what_was_said_already(index, embed_model):
    index.insert_nodes([node("Kolwick is a town", f"again{n}", kind="town") for n in range(2)])

    def found(threshold):
        retriever = index.as_retriever(
            vector_store_query_mode="mmr",
            similarity_top_k=2,
            vector_store_kwargs={"mmr_threshold": threshold},
        )
        return retriever.retrieve("kind: town\n\nKolwick is a town")

    near = index.as_retriever(similarity_top_k=2).retrieve("kind: town\n\nKolwick is a town")
    assert found(1.0) == near
    assert ids(near) == ["again0", "again1"]
    assert ids(found(0.1))[0] == "again0"
    assert ids(found(0.1))[1] in ("ilma", "tarn")
    assert found(0.1)[1].score < near[1].score


def test_the_querys_own_threshold_counts_first(store, index):
    vector = LetterEmbedding().get_query_embedding("Kolwick")
    mmr = VectorStoreQueryMode.MMR
    plain = store.query(VectorStoreQuery(vector, 3))

    asked = VectorStoreQuery(vector, 3, mode=mmr, mmr_threshold=1.0)

    assert store.query(asked, mmr_threshold=0.0) == plain


def test_a_question_without_a_vector_is_read_by_the_stores_embedder(nodes, embed_model):
    store = DiekaeVectorStore(embed_model=embed_model)
    store.add(nodes)
    vector = embed_model.get_query_embedding("Kolwick")

    by_text = store.query(VectorStoreQuery(query_str="Kolwick", similarity_top_k=2))

    assert by_text == store.query(VectorStoreQuery(vector, 2))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (VectorStoreQuery([1.0] * 26, 2, mode=VectorStoreQueryMode.HYBRID), "no mode 'hybrid'"),
        (VectorStoreQuery([1.0] * 3, 2), "vectors of 3 numbers came, this index holds 26"),
        (VectorStoreQuery(similarity_top_k=2), "needs a query_embedding or a query_str"),
        (VectorStoreQuery(query_str="who?", similarity_top_k=2), "has no embedder"),
        (VectorStoreQuery([1.0] * 26, 0), "ask for 1 or more"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(index, store, query, message):
    with pytest.raises(ValueError, match=message):
        store.query(query)


def test_arguments_that_nobody_knows_are_refused(store, nodes):
    for call in (
        lambda: store.add(nodes, batch=3),
        lambda: store.delete("people", now=True),
        lambda: store.delete_nodes(["ilma"], now=True),
        lambda: store.query(VectorStoreQuery([1.0]), mmr_threshold=0.5),
        lambda: store.query(VectorStoreQuery([1.0], mode=VectorStoreQueryMode.MMR), fetch=3),
    ):
        with pytest.raises(TypeError, match="does not know the argument"):
            call()


# What stands on it


def test_a_similarity_cutoff_keeps_what_reaches_it(index, nodes):
    question = nodes[0].get_content(metadata_mode=MetadataMode.EMBED)
    found = index.as_retriever(similarity_top_k=3).retrieve(question)

    kept = SimilarityPostprocessor(similarity_cutoff=0.999).postprocess_nodes(found)

    assert ids(kept) == ["ilma"]


async def test_fusion_joins_searches(index, llm):
    retrievers = [
        index.as_retriever(similarity_top_k=1, filters=where("kind", kind))
        for kind in ("person", "town")
    ]
    fusion = QueryFusionRetriever(retrievers, llm=llm, num_queries=1, use_async=False)

    assert set(ids(fusion.retrieve("Kolwick"))) == {"ilma", "kolwick"}
    assert set(ids(await fusion.aretrieve("Kolwick"))) == {"ilma", "kolwick"}


def test_a_query_engine_over_the_store_keeps_passages_out_of_the_prompt(index, llm, spy):
    engine = index.as_query_engine(llm=llm, similarity_top_k=1, filters=where("kind", "town"))

    response = engine.query("What is Kolwick?")

    assert ids(response.source_nodes) == ["kolwick"]
    assert spy.encoders_read("is a town")
    assert not spy.prompts_mention("is a town")


async def test_an_async_query_engine_answers_alike(index, llm):
    engine = RetrieverQueryEngine.from_args(index.as_retriever(similarity_top_k=1), llm=llm)

    assert str(await engine.aquery("Who?")) == str(engine.query("Who?"))


def test_documents_are_split_inserted_updated_and_deleted(store, embed_model):
    documents = [Document(text="Kolwick. " * 60, id_="k"), Document(text="Morvane.", id_="m")]
    index = VectorStoreIndex.from_documents(
        documents,
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model,
        transformations=[SentenceSplitter(chunk_size=50, chunk_overlap=0)],
    )
    whole = len(store.index)

    index.update_ref_doc(Document(text="Kolwick is small.", id_="k"))
    updated = {n.get_content() for n in store.get_nodes()}
    index.delete_ref_doc("k")

    assert whole > 3
    assert updated == {"Kolwick is small.", "Morvane."}
    assert [n.get_content() for n in store.get_nodes()] == ["Morvane."]
    assert [n.ref_doc_id for n in store.get_nodes()] == ["m"]


async def test_an_ingestion_pipeline_fills_the_store(store, embed_model):
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), embed_model], vector_store=store
    )

    pipeline.run(documents=[Document(text="Kolwick is a town.", id_="k")])
    await pipeline.arun(documents=[Document(text="Morvane is a town.", id_="m")])

    assert {n.ref_doc_id for n in store.get_nodes()} == {"k", "m"}


# Nodes


def test_nodes_come_back_whole(store, embed_model):
    whole = TextNode(
        text="Kolwick {is} a town.",
        id_="whole",
        metadata={"kind": "town", "tags": ["a", "b"], "deep": {"x": [1, None]}},
        excluded_llm_metadata_keys=["kind"],
        excluded_embed_metadata_keys=["tags", "deep"],
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata={"page": 3}),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="next"),
        },
        start_char_idx=7,
        end_char_idx=27,
        metadata_template="{key} is {value}",
    )
    linked = IndexNode(text="see Kolwick", id_="linked", index_id="whole")
    for each in (whole, linked):
        store.add([each.model_copy(update={"embedding": embed_model.get_text_embedding("k")})])

    assert store.get_nodes(["whole"]) == [whole]
    assert store.get_nodes(["linked"]) == [linked]
    assert type(store.get_nodes(["linked"])[0]) is IndexNode


def test_dates_in_metadata_are_written_as_iso_text(store):
    dated = TextNode(text="a", metadata={"day": datetime.date(2001, 2, 3)}, embedding=[1.0])

    store.add([dated])

    assert store.get_nodes()[0].metadata == {"day": "2001-02-03"}


def test_metadata_that_json_cannot_hold_is_refused_by_its_node(store):
    with pytest.raises(TypeError, match=r"metadata of node 'n' cannot be stored: .*object"):
        store.add([TextNode(text="a", id_="n", metadata={"it": object()}, embedding=[1.0])])
    assert store.get_nodes() == []


def test_nodes_are_gotten_by_id_and_by_filter(index, store):
    assert {n.node_id for n in store.get_nodes()} == {"ilma", "tarn", "kolwick"}
    assert [n.node_id for n in store.get_nodes(["tarn", "unknown"])] == ["tarn"]
    assert [n.node_id for n in store.get_nodes(["tarn", "kolwick"], where("old", 1))] == ["kolwick"]
    assert store.get_nodes([]) == []


def test_a_node_with_a_known_id_takes_the_place_of_the_old_one(index, store):
    index.insert_nodes([node("Ilma moved to Morvane.", "ilma", "news", kind="rumour")])

    (found,) = store.get_nodes(["ilma"])
    assert (found.get_content(), found.metadata) == ("Ilma moved to Morvane.", {"kind": "rumour"})
    store.delete("people")
    assert {n.node_id for n in store.get_nodes()} == {"ilma", "kolwick"}


def test_deleting_takes_documents_nodes_filters_or_everything(index, store):
    store.delete("unknown")
    store.delete_nodes([])
    assert len(store.index) == 3

    store.delete_nodes(["ilma", "tarn"], where("year", 1990))
    assert {n.node_id for n in store.get_nodes()} == {"tarn", "kolwick"}
    store.delete_nodes(filters=where("kind", "town"))
    assert {n.node_id for n in store.get_nodes()} == {"tarn"}
    with pytest.raises(ValueError, match="clear"):
        store.delete_nodes()
    store.clear()
    assert store.get_nodes() == []


async def test_async_forms_do_the_same_in_a_thread(store, nodes, embed_model):
    threads = []

    class Noting(LetterEmbedding):
        def _get_text_embedding(self, text):
            threads.append(threading.current_thread())
            return super()._get_text_embedding(text)

    store = DiekaeVectorStore(embed_model=Noting())

    assert await store.async_add(nodes) == ["ilma", "tarn", "kolwick"]
    assert threading.main_thread() not in threads
    vector = embed_model.get_query_embedding("Kolwick")
    asked = VectorStoreQuery(vector, 2)
    assert await store.aquery(asked) == store.query(asked)
    assert await store.aget_nodes(["ilma"]) == store.get_nodes(["ilma"])
    await store.adelete_nodes(["ilma"])
    await store.adelete("places")
    assert [n.node_id for n in store.get_nodes()] == ["tarn"]
    await store.aclear()
    assert len(store.index) == 0


def test_a_cleared_store_takes_vectors_of_another_size(store):
    store.add([TextNode(text="a", embedding=[1.0, 0.0])])
    store.clear()

    store.add([TextNode(text="b", embedding=[1.0, 0.0, 0.0])])

    assert store.query(VectorStoreQuery([1.0, 0.0, 0.0])).similarities == [1.0]


# Whose vectors


def test_vectors_of_another_embedding_model_are_refused(nodes, embed_model):
    class Backwards(LetterEmbedding):
        def _get_text_embedding(self, text):
            return super()._get_text_embedding(text)[::-1]

    store = DiekaeVectorStore(embed_model=embed_model)
    for other in (Backwards(), MockEmbedding(embed_dim=8)):
        index = VectorStoreIndex.from_vector_store(store, embed_model=other)
        with pytest.raises(ValueError, match=r"not those of the index's embedder 'base.*letters'"):
            index.insert_nodes(nodes)

    VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model).insert_nodes(nodes)

    assert len(store.index) == 3
    assert store.embed_model is embed_model


def test_a_store_without_an_embedder_holds_vectors_of_one_size(store):
    store.add([TextNode(text="a", embedding=[1.0, 0.0])])

    with pytest.raises(ValueError, match="vectors of 3 numbers came, this index holds 2"):
        store.add([TextNode(text="b", embedding=[1.0, 0.0, 0.0])])
    with pytest.raises(ValueError, match="has no embedder"):
        store.add([TextNode(text="b")])
    with pytest.raises(ValueError, match="not finite"):
        store.add([TextNode(text="b", embedding=[1.0, float("nan")])])
    assert len(store.index) == 1


def test_an_index_of_the_core_is_searched_with_its_own_embedder(tmp_path):
    texts = ["Ada lives in Turin.", "Bread is baked at dawn."]
    PassageIndex.build(texts).save(tmp_path / "index")

    store = DiekaeVectorStore.from_folder(tmp_path / "index")
    index = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)

    assert isinstance(store.embed_model, DiekaeEmbedding)
    assert store.embed_model.model_name == "minilm"
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("Which city is her home?")
    assert found.node.get_content() == texts[0]


async def test_our_embedder_is_an_embedding_model():
    model = DiekaeEmbedding("minilm")

    text = model.get_text_embedding("Turin")

    assert model.get_text_embedding_batch(["Turin"]) == [text]
    assert await model.aget_text_embedding("Turin") == text
    assert await model.aget_query_embedding("Turin") == model.get_query_embedding("Turin")
    assert await model.aget_text_embedding_batch(["Turin"]) == [text]


def test_an_index_and_an_embedding_model_together_are_refused(tmp_path, embed_model):
    with pytest.raises(TypeError, match="pass index or embed_model"):
        DiekaeVectorStore(PassageIndex(), embed_model=embed_model)
    with pytest.raises(TypeError, match="from_folder"):
        DiekaeVectorStore(str(tmp_path))


# Keeping


def test_a_storage_context_keeps_and_reopens_the_store(index, embed_model, tmp_path):
    index.storage_context.persist(tmp_path)

    store = DiekaeVectorStore.from_folder(tmp_path / "default__vector_store.json")
    context = StorageContext.from_defaults(vector_store=store, persist_dir=str(tmp_path))
    again = load_index_from_storage(context, embed_model=embed_model)

    question = "Where was Ilma born?"
    assert again.as_retriever().retrieve(question) == index.as_retriever().retrieve(question)


def test_a_folder_opens_with_the_model_it_was_built_with_and_with_no_other(
    index, store, embed_model, tmp_path
):
    store.persist(str(tmp_path / "index"))

    for again in (
        DiekaeVectorStore.from_folder(tmp_path / "index"),
        DiekaeVectorStore.from_folder(tmp_path / "index", embed_model=embed_model),
    ):
        assert again.get_nodes() == store.get_nodes()
    for other in (MockEmbedding(embed_dim=26), MockEmbedding(embed_dim=8)):
        with pytest.raises(IndexFolderError, match="reads the same text otherwise"):
            DiekaeVectorStore.from_folder(tmp_path / "index", embed_model=other)


def test_only_local_disks_are_written_to(store, tmp_path):
    store.persist(str(tmp_path / "index"), fs=fsspec.filesystem("file"))

    assert len(DiekaeVectorStore.from_folder(tmp_path / "index").index) == 0
    with pytest.raises(ValueError, match="local disks only"):
        store.persist("index", fs=fsspec.filesystem("memory"))


def test_the_store_is_described_without_what_it_holds(store):
    assert store.to_dict() == {
        "stores_text": True,
        "is_embedding_query": True,
        "class_name": "DiekaeVectorStore",
    }
    assert "PassageIndex" not in repr(store)
    assert store.client is store.index


def test_without_llama_index_the_error_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("llama_index.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "llama_index.core", None)

    with pytest.raises(ImportError, match=r'pip install "diekae-rag\[llama-index\]"'):
        importlib.import_module("llama_index.vector_stores.diekae")

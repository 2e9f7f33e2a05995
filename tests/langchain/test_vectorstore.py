"""DiekaeVectorStore: LangChain's own tests, and what they do not ask."""

import asyncio
import threading

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_diekae import DiekaeEmbeddings, DiekaeRetriever, DiekaeVectorStore
from langchain_diekae.embeddings import read_embedding
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from diekae_rag import PassageIndex
from diekae_rag.index import IndexFolderError
from diekae_rag.index.conditions import Where


class TestDiekaeVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return DiekaeVectorStore(embedding=self.get_embeddings())


class TestDiekaeVectorStoreOfOurEmbedder(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        return DiekaeVectorStore(PassageIndex("minilm"))


DIRECTIONS = {"north": [0, 1], "east": [1, 0], "south": [0, -1], "north-east": [1, 1]}


class Compass(Embeddings):
    """Directions; questions are read in the opposite sense of documents."""

    model = "compass"

    def embed_documents(self, texts):
        return [DIRECTIONS[text] for text in texts]

    def embed_query(self, text):
        return [-number for number in DIRECTIONS[text]]


@pytest.fixture
def store(index):
    return DiekaeVectorStore(index)


@pytest.fixture
def compass():
    return DiekaeVectorStore.from_texts(["north", "east", "south"], Compass(), ids=["n", "e", "s"])


def ids(documents):
    return [document.id for document in documents]


def test_scores_are_cosines_and_stay_out_of_the_metadata(store, index):
    (best, score), *_ = store.similarity_search_with_score("Ada lives in Zanzibar.", k=2)

    assert (best.id, best.metadata) == ("ada", {"kind": "person"})
    assert score == index.search("Ada lives in Zanzibar.", k=1)[0].score == pytest.approx(1)


def test_documents_and_questions_are_embedded_each_in_their_way(compass):
    found = compass.similarity_search_with_score("south", k=3)

    assert [(d.id, s) for d, s in found] == [("n", 1.0), ("e", 0.0), ("s", -1.0)]


def test_relevance_is_the_cosine_and_nothing_is_less_than_irrelevant(compass):
    found = compass.similarity_search_with_relevance_scores("south", k=3)

    assert [(d.id, s) for d, s in found] == [("n", 1.0), ("e", 0.0), ("s", 0.0)]


def test_a_score_threshold_keeps_what_reaches_it(store):
    retriever = store.as_retriever(
        search_type="similarity_score_threshold",
        search_kwargs={"score_threshold": 0.9, "k": 4},
    )

    assert ids(retriever.invoke("Ada lives in Zanzibar.")) == ["ada"]


def test_a_vector_finds_what_its_text_finds(store):
    vector = store.embeddings.embed_query("Ada lives in Quebec.")

    assert store.similarity_search_by_vector(vector, k=3) == store.similarity_search(
        "Ada lives in Quebec.", k=3
    )
    assert store.max_marginal_relevance_search_by_vector(
        vector, k=3, lambda_mult=0.3
    ) == store.max_marginal_relevance_search("Ada lives in Quebec.", k=3, lambda_mult=0.3)


def test_a_vector_of_another_size_is_refused(store):
    with pytest.raises(ValueError, match=r"vectors of 2 numbers came, this index holds 32"):
        store.similarity_search_by_vector([1.0, 0.0])


def test_diversity_passes_over_what_was_said_already(store):
    store.add_texts(["Ada lives in Zanzibar"] * 3, ids=["a1", "a2", "a3"])
    question = "Ada lives in Zanzibar"

    near = store.max_marginal_relevance_search(question, k=3, lambda_mult=1.0)
    diverse = store.max_marginal_relevance_search(question, k=3, lambda_mult=0.2)

    assert ids(near) == ids(store.similarity_search(question, k=3)) == ["a1", "a2", "a3"]
    assert ids(diverse)[0] == "a1"
    assert not {"a2", "a3"} & set(ids(diverse))
    assert (
        asyncio.run(store.amax_marginal_relevance_search(question, k=3, lambda_mult=0.2)) == diverse
    )


@pytest.mark.parametrize("filter", [{"kind": "town"}, Where("kind", "!=", "person")], ids=str)
def test_every_search_filters_before_it_looks(store, filter):
    store.add_texts([f"Ada lives in Zanzibar {n}" for n in range(50)], [{"kind": "person"}] * 50)
    question = "Ada lives in Zanzibar"
    vector = store.embeddings.embed_query(question)
    asked = {"k": 2, "filter": filter}

    ways = [
        store.similarity_search(question, **asked),
        [d for d, _ in store.similarity_search_with_score(question, **asked)],
        [d for d, _ in store.similarity_search_with_relevance_scores(question, **asked)],
        store.similarity_search_by_vector(vector, **asked),
        store.max_marginal_relevance_search(question, **asked),
        store.max_marginal_relevance_search_by_vector(vector, **asked),
        asyncio.run(store.asimilarity_search(question, **asked)),
        store.as_retriever(search_kwargs=asked).invoke(question),
    ]

    assert all(set(ids(found)) == {"turin", "oslo"} for found in ways)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"year": {"$gt": 1871}}, {"b", "c"}),
        ({"year": {"$gte": 1871, "$lt": 1990}, "kind": "kite"}, {"a"}),
        ({"year": {"$ne": 1904}}, {"a", "c", "d"}),
        ({"year": {"$in": [1871, 1990]}}, {"a", "c"}),
        ({"year": {"$nin": [1871, 1990]}, "kind": {"$eq": "town"}}, {"b"}),
        ({"$or": [{"year": 1871}, {"kind": {"$eq": "town"}}]}, {"a", "b"}),
        ({"$and": [{"kind": "kite"}, {"$not": {"year": 1990}}]}, {"a"}),
        ({"made": {"in": {"$": 1}}}, {"d"}),
        (Where("year", ">", 1904), {"c"}),
        (lambda document: document.metadata.get("year", 0) > 1871, {"b", "c"}),
        (lambda document: document.id == "d" and document.page_content == "text d", {"d"}),
        (lambda document: False, set()),
    ],
)
def test_filters_of_other_stores_mean_the_same(embedder, filter, expected):
    origins = [
        {"year": 1871, "kind": "kite"},
        {"year": 1904, "kind": "town"},
        {"year": 1990, "kind": "kite"},
        {"made": {"in": {"$": 1}}},
    ]
    store = DiekaeVectorStore(PassageIndex(embedder))
    store.add_texts([f"text {id_}" for id_ in "abcd"], origins, ids=list("abcd"))
    retriever = DiekaeRetriever(index=store.index, filter=filter)

    assert set(ids(store.similarity_search("text", filter=filter))) == expected
    assert set(ids(store.max_marginal_relevance_search("text", filter=filter))) == expected
    assert set(ids(retriever.invoke("text"))) == expected


@pytest.mark.parametrize(
    "filter", [{"$nor": []}, {"year": {"$near": 3}}, {"year": {"$gt": 3, "x": 4}}], ids=str
)
def test_operators_that_nobody_knows_are_refused(store, filter):
    with pytest.raises(ValueError, match=r"a filter cannot ask for '(\$nor|\$near|x)' here"):
        store.similarity_search("x", filter=filter)
    with pytest.raises(ValueError, match="its operators are"):
        DiekaeRetriever(index=store.index, filter=filter)


def test_equal_texts_without_ids_are_two_documents(store):
    first, second = store.add_texts(["same", "same"], [{"page": 1}, {"page": 2}])

    assert first != second
    assert [d.metadata["page"] for d in store.get_by_ids([second, first])] == [2, 1]


def test_ids_may_come_with_documents_or_beside_them(store):
    documents = [Document(page_content="x", id="own"), Document(page_content="y")]

    own, new = store.add_documents(documents)
    beside = store.add_documents(iter(documents), ids=["1", "2"])

    assert own == "own"
    assert new not in ("own", None, "")
    assert beside == ["1", "2"]
    assert ids(store.get_by_ids(["own", "1"])) == ["own", "1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["1"]}, "2 documents came with 1 ids"),
        ({"metadatas": [{}]}, "2 texts came with 1 metadatas"),
        ({"batch_size": 0}, "adds nothing"),
    ],
)
def test_lists_that_do_not_fit_are_refused(store, arguments, message):
    with pytest.raises(ValueError, match=message):
        store.add_texts(["x", "y"], **arguments)
    assert len(store.index) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.add_texts(["x"], batch=3),
        lambda store: store.delete(["x"], force=True),
        lambda store: store.similarity_search("x", where={}),
        lambda store: store.max_marginal_relevance_search("x", where={}),
        lambda store: store.similarity_search("x", filter="kind"),
        lambda store: store.similarity_search("x", filter={"year": {"$in": "ab"}}),
        lambda store: store.similarity_search("x", filter={"$or": {"year": 3}}),
        lambda store: store.add_texts("one text"),
        lambda store: store.add_texts(["x"], [{"when": object()}]),
    ],
)
def test_what_cannot_be_honoured_is_refused(store, call):
    with pytest.raises(TypeError):
        call(store)
    assert len(store.index) == 4


def test_batches_add_everything(store):
    added = store.add_texts([f"text {n}" for n in range(7)], batch_size=3)

    assert [d.page_content for d in store.get_by_ids(added)] == [f"text {n}" for n in range(7)]


def test_documents_of_only_spaces_are_left_out_and_said(store):
    with pytest.warns(UserWarning, match="1 of 2 passages had only spaces"):
        added = store.add_texts([" \n", "text"], ids=["blank", "text"])

    assert added == ["text"]


def test_deleting_without_ids_deletes_everything(store):
    assert store.delete() is True
    assert len(store.index) == 0
    assert asyncio.run(store.adelete(["unknown"])) is True


def test_a_saved_store_reopens_with_its_embedding_model_and_with_no_other(compass, tmp_path):
    compass.save(tmp_path / "index")

    again = DiekaeVectorStore.from_folder(tmp_path / "index", embedding=Compass())

    assert again.similarity_search("south", k=3) == compass.similarity_search("south", k=3)
    assert isinstance(again.embeddings, Compass)
    with pytest.raises(IndexFolderError, match="'Compass compass', an embedder object"):
        DiekaeVectorStore.from_folder(tmp_path / "index")
    for size in (2, 3):
        other = DeterministicFakeEmbedding(size=size)
        with pytest.raises(IndexFolderError, match="were made by 'Compass compass'"):
            DiekaeVectorStore.from_folder(tmp_path / "index", embedding=other)


def test_a_folder_of_the_core_opens_as_a_store_and_as_a_retriever(tmp_path):
    PassageIndex.build(["Ada lives in Turin.", "Bread is baked at dawn."]).save(tmp_path / "index")

    store = DiekaeVectorStore.from_folder(tmp_path / "index")
    retriever = DiekaeRetriever.from_folder(
        tmp_path / "index", embedder=DiekaeEmbeddings("minilm"), k=1
    )

    (found,) = store.similarity_search("bakery", k=1)
    assert found.page_content == "Bread is baked at dawn."
    assert retriever.invoke("bakery")[0].id == found.id


def test_a_retriever_and_a_store_share_an_index(compass):
    retriever = DiekaeRetriever(index=compass.index, k=1)

    compass.add_texts(["north-east"], ids=["ne"])

    (found,) = retriever.invoke("north-east")
    assert (found.id, found.metadata["score"]) == ("s", pytest.approx(np.sqrt(0.5)))


def test_our_embedder_is_an_embedding_model_of_unit_vectors(embedder):
    embeddings = DiekaeEmbeddings(embedder)

    assert np.linalg.norm(embeddings.embed_query("Ada")) == pytest.approx(1)
    assert embeddings.embed_documents(["Ada"]) == [embeddings.embed_query("Ada")]
    assert read_embedding(embeddings) is embedder


def test_an_index_and_an_embedding_model_together_are_refused(index, tmp_path):
    with pytest.raises(TypeError, match="not both"):
        DiekaeVectorStore(index, embedding=Compass())
    with pytest.raises(TypeError, match="from_folder"):
        DiekaeVectorStore(str(tmp_path))
    with pytest.raises(TypeError, match="cannot embed with"):
        DiekaeVectorStore(embedding=object())


def test_an_embedding_model_that_breaks_its_promise_is_named():
    class Ragged(Compass):
        def embed_documents(self, texts):
            return [[1.0] * (n + 1) for n in range(len(texts))]

    with pytest.raises(ValueError, match="inhomogeneous"):
        DiekaeVectorStore(embedding=Ragged()).add_texts(["a", "b"])


async def test_async_calls_leave_the_event_loop_free(store):
    threads = []

    class Noting(Compass):
        def embed_query(self, text):
            threads.append(threading.current_thread())
            return super().embed_query(text)

    store = await DiekaeVectorStore.afrom_texts(["north", "east"], Noting(), ids=["n", "e"])

    assert ids(await store.asimilarity_search("north", k=1)) == ["e"]
    assert ids(await store.aget_by_ids(["n"])) == ["n"]
    assert ids(await store.as_retriever(search_kwargs={"k": 1}).ainvoke("north")) == ["e"]
    assert threads
    assert threading.main_thread() not in threads

"""An index after any history is the dictionary that the same history makes; vectors, diversity."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from diekae_rag.index import Entry, GivenVectors, IndexFolderError, PassageIndex
from diekae_rag.index.conditions import (
    AllOf,
    AnyOf,
    FromDocument,
    NoneOf,
    Where,
    WithId,
)
from diekae_rag.index.vectors import VectorTable
from diekae_rag.passages import Passage

quick = settings(max_examples=60, deadline=None)

IDS = st.sampled_from("pqrst")
ENTRIES = st.lists(
    st.builds(
        Entry,
        st.builds(
            Passage,
            st.text(st.sampled_from("ab"), min_size=1, max_size=3),
            id=IDS,
            metadata=st.dictionaries(st.sampled_from("xy"), st.integers(0, 2)),
        ),
        vector=st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0, 2.0])] * 3),
        document=st.none() | st.sampled_from("de"),
        attachment=st.none() | st.text(max_size=3),
    ),
    max_size=4,
)


class Histories(RuleBasedStateMachine):
    """Adds, replaces, deletes, saves and loads; beside it, a dictionary."""

    def __init__(self):
        super().__init__()
        self.index = PassageIndex(GivenVectors())
        self.model = {}

    @rule(entries=ENTRIES)
    def add(self, entries):
        added = self.index.add_entries(entries)
        self.model |= {entry.passage.id: entry for entry in entries}
        assert set(added) == {entry.passage.id for entry in entries}

    @rule(ids=st.lists(IDS))
    def delete(self, ids):
        assert self.index.delete(ids) == len(set(ids) & set(self.model))
        self.model = {id_: entry for id_, entry in self.model.items() if id_ not in ids}

    @rule(document=st.sampled_from("de"))
    def delete_document(self, document):
        gone = {id_ for id_, entry in self.model.items() if entry.document == document}
        assert self.index.delete_matching(FromDocument([document])) == len(gone)
        self.model = {id_: entry for id_, entry in self.model.items() if id_ not in gone}

    @rule(value=st.integers(0, 2))
    def delete_where(self, value):
        self.index.delete_matching({"x": value})
        self.model = {
            id_: entry
            for id_, entry in self.model.items()
            if entry.passage.metadata.get("x") != value
        }

    @rule()
    def save_and_load(self):
        with tempfile.TemporaryDirectory() as folder:
            self.index.save(f"{folder}/index")
            self.index = PassageIndex.load(f"{folder}/index", takes_vectors=True)

    @invariant()
    def passages_are_those_of_the_model(self):
        assert {p.id: p for p in self.index} == {i: e.passage for i, e in self.model.items()}
        assert len(self.index) == len(self.model)

    @invariant()
    def attachments_are_those_of_the_model(self):
        kept = {id_: e.attachment for id_, e in self.model.items() if e.attachment is not None}
        assert self.index.attachments(list("pqrst")) == kept

    @invariant()
    def a_search_is_the_dictionary_sorted(self):
        query = np.array([1.0, 2.0, -1.0])
        scores = {id_: cosine(query, entry.vector) for id_, entry in self.model.items()}

        found = self.index.search(query, k=9)

        assert {p.id: p.score for p in found} == pytest.approx(scores, abs=1e-5)
        assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def cosine(query, vector):
    length = np.linalg.norm(query) * np.linalg.norm(vector)
    return float(query @ np.array(vector) / length) if length else 0.0


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


# Vectors that are given


def given_index(vectors):
    index = PassageIndex(GivenVectors())
    index.add_entries(
        Entry(Passage(f"text {n}", id=f"{n}"), vector=vector) for n, vector in enumerate(vectors)
    )
    return index


def test_a_vector_is_a_question(embedder):
    index = PassageIndex.build(["Ada lives in Turin", "Olo lives in Brint"], embedder)
    vectors = embedder.embed(["Ada", "lives"])

    assert index.search(vectors[0] * 7) == index.search("Ada")
    assert index.search(vectors[0].tolist()) == index.search("Ada")
    assert index.search_many(list(vectors)) == index.search_many(["Ada", "lives"])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0, 3.0]], "vectors of 3 numbers came, this index holds 2"),
        ([[1.0, 2.0], [1.0]], "inhomogeneous"),
        ([[1.0, float("inf")]], "not finite"),
        ([[]], "it must return"),
        ([["north", "east"]], "could not convert"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_added(vectors, message):
    index = given_index([[1.0, 0.0]])

    with pytest.raises(ValueError, match=message):
        index.add_entries(Entry(Passage(f"new {n}"), vector=v) for n, v in enumerate(vectors))
    with pytest.raises(ValueError, match=message):
        index.search_many(vectors)
    assert len(index) == 1


def test_texts_and_vectors_together_are_no_list_of_questions():
    with pytest.raises(TypeError, match="all texts or all vectors"):
        given_index([[1.0, 0.0]]).search_many(["Turin", [1.0, 0.0]])


def test_vectors_of_any_length_and_none_are_compared_by_direction():
    index = given_index([[1e30, 0.0], [1e-30, 1e-30], [0.0, 0.0]])

    found = index.search([3.0, 0.0])

    assert [(p.id, p.score) for p in found] == [
        ("0", 1.0),
        ("1", pytest.approx(0.5**0.5)),
        ("2", 0),
    ]


def test_an_index_of_given_vectors_cannot_read_texts():
    index = given_index([[1.0, 0.0]])

    with pytest.raises(ValueError, match="has no embedder"):
        index.search("Turin")
    with pytest.raises(ValueError, match="has no embedder"):
        index.add(["Turin"])


def test_vectors_and_texts_may_come_together(embedder):
    index = PassageIndex(embedder)
    (vector,) = embedder.embed(["Ada lives in Turin"])

    index.add_entries(
        [
            Entry(Passage("Olo lives in Brint", id="olo")),
            Entry(Passage("Ada lives in Turin", id="ada"), vector=vector * 3),
        ]
    )

    texts = ["Olo lives in Brint", "Ada lives in Turin"]
    assert [index.search(text, k=1)[0].text for text in texts] == texts
    assert index.search(texts[1], k=1)[0].score == pytest.approx(1)


def test_vectors_of_another_embedder_are_refused(embedder, make_embedder):
    index = PassageIndex(embedder)

    for other in (make_embedder("other"), make_embedder(vector_size=8)):
        (vector,) = other.embed(["Ada lives in Turin"])
        with pytest.raises(ValueError, match="not those of the index's embedder 'hashing'"):
            index.add_entries([Entry(Passage("Ada lives in Turin"), vector=vector)])
    assert len(index) == 0


def test_what_was_embedded_may_be_more_than_the_passage(embedder, tmp_path):
    index = PassageIndex(embedder)
    index.add_entries([Entry(Passage("Turin", id="t"), embedded_text="kind town Turin")])
    index.save(tmp_path / "index")

    again = PassageIndex.load(tmp_path / "index", embedder)

    assert again.search("kind town Turin")[0].score == pytest.approx(1)
    assert again.get(["t"])[0].text == "Turin"


def test_questions_may_be_embedded_otherwise_than_passages(embedder):
    class Asymmetric:
        name = "asymmetric"
        embed = staticmethod(embedder.embed)

        def embed_questions(self, texts):
            return embedder.embed([text.removeprefix("query: ") for text in texts])

    index = PassageIndex.build(["Ada lives in Turin", "query: x"], Asymmetric())

    assert index.search("query: Ada lives in Turin", k=1)[0].score == pytest.approx(1)


def test_an_index_of_unnamed_vectors_opens_for_vectors_and_with_its_embedder(
    embedder, make_embedder, tmp_path
):
    index = PassageIndex(GivenVectors())
    (vector,) = embedder.embed(["Ada"])
    index.add_entries([Entry(Passage("Ada"), vector=vector)])
    index.save(tmp_path / "index")

    assert PassageIndex.load(tmp_path / "index", embedder).search("Ada")[0].score > 0.99
    again = PassageIndex.load(tmp_path / "index", takes_vectors=True)
    assert again.search(vector)[0].score > 0.99
    with pytest.raises(IndexFolderError, match="an embedder object"):
        PassageIndex.load(tmp_path / "index")
    with pytest.raises(IndexFolderError, match="reads the same text otherwise"):
        PassageIndex.load(tmp_path / "index", make_embedder("other"))


def test_a_folder_keeps_the_name_of_who_made_its_vectors(embedder, tmp_path):
    PassageIndex.build(["Ada"], embedder).save(tmp_path / "index")

    PassageIndex.load(tmp_path / "index", takes_vectors=True).save(tmp_path / "index")

    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["embedder"] == "hashing"


def test_an_embedder_is_known_again_when_the_first_passage_is_gone(embedder, tmp_path):
    index = PassageIndex.build([Passage("Ada", id="a"), Passage("Olo", id="o")], embedder)
    index.delete(["a"])
    index.save(tmp_path / "index")

    assert [p.id for p in PassageIndex.load(tmp_path / "index", embedder)] == ["o"]


def test_a_folder_of_format_1_is_read(embedder, make_embedder, tmp_path):
    folder = tmp_path / "index"
    PassageIndex.build([Passage("Ada", id="a", metadata={"x": 1})], embedder).save(folder)
    with sqlite3.connect(folder / "passages.sqlite") as connection:
        connection.execute("DROP TABLE attachments")
    connection.close()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["probe"]
    digest = hashlib.sha256((folder / "passages.sqlite").read_bytes()).hexdigest()
    manifest |= {"version": 1, "files": {**manifest["files"], "passages.sqlite": digest}}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    index = PassageIndex.load(folder, embedder)
    index.add_entries([Entry(Passage("Olo", id="o"), attachment="kept")])
    index.save(folder)

    assert PassageIndex.load(folder, embedder).attachments(["a", "o"]) == {"o": "kept"}
    assert json.loads((folder / "manifest.json").read_text())["version"] == 2
    with pytest.raises(IndexFolderError, match="reads the same text otherwise"):
        PassageIndex.load(folder, make_embedder("other"))


def test_what_has_a_document_and_no_attachment_has_no_attachment(towns):
    assert towns.attachments(["ada", "po", "unknown"]) == {}


def test_a_document_that_cannot_be_encoded_is_refused():
    with pytest.raises(ValueError, match="lone surrogates"):
        PassageIndex(GivenVectors()).add_entries(
            [Entry(Passage("a"), vector=[1.0], document="\ud800")]
        )


@given(changes=st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 30))), max_size=6))
@quick
def test_a_table_keeps_every_vector_under_its_row(changes):
    table, model = VectorTable(2), {}
    for step, (added, removed) in enumerate(changes):
        new = {10 * step + n: np.array([step, n], np.float32) for n in range(added)}
        table.add(list(new), np.array([*new.values()], np.float32).reshape(-1, 2))
        table.remove(sorted(removed))
        model = {row: v for row, v in (model | new).items() if row not in removed}

    rows = sorted(model)
    vectors = np.array([model[row] for row in rows], np.float32).reshape(-1, 2)
    assert len(table) == len(model)
    assert np.array_equal(table.in_order(), vectors)
    assert np.array_equal(table.get(rows[::-1]), vectors[::-1])
    (found,) = table.search(np.array([[1, 7]], np.float32), 99, rows[1:])
    assert dict(found) == {row: v @ [1, 7] for row, v in list(model.items()) if row in rows[1:]}


# Diversity


vectors_of_three = st.lists(
    st.tuples(*[st.integers(-3, 3).map(float)] * 3).filter(any), min_size=1, max_size=7
)


@given(
    vectors=vectors_of_three,
    k=st.integers(1, 8),
    relevance=st.sampled_from([0.0, 0.3, 0.5, 0.8]),
)
@quick
def test_each_passage_is_the_best_of_those_left(vectors, k, relevance):
    query = np.array([1.0, 2.0, 3.0])
    unit = {str(n): np.array(v) / np.linalg.norm(v) for n, v in enumerate(vectors)}

    found = given_index(vectors).search_diverse(query, k, relevance=relevance)

    chosen = [p.id for p in found]
    assert len(chosen) == len(set(chosen)) == min(k, len(vectors))
    for position in range(1, len(chosen)):
        gains = {
            id_: relevance * cosine(query, vector)
            - (1 - relevance) * max(vector @ unit[other] for other in chosen[:position])
            for id_, vector in unit.items()
            if id_ not in chosen[:position]
        }
        assert gains[chosen[position]] == pytest.approx(max(gains.values()), abs=1e-5)


@given(vectors=vectors_of_three, k=st.integers(1, 8), fetch_k=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_relevance_alone_is_a_search(vectors, k, fetch_k):
    index = given_index(vectors)
    query = [1.0, 2.0, 3.0]

    found = index.search_diverse(query, k, fetch_k=fetch_k, relevance=1.0)

    assert found == index.search(query, k)


def test_only_the_nearest_are_chosen_from_and_only_the_matching():
    index = given_index([[1.0, 0.0], [0.99, 0.01], [0.0, 1.0]])

    def chosen(**options):
        return [p.id for p in index.search_diverse([1.0, 0.0], 2, relevance=0.1, **options)]

    assert chosen() == ["0", "2"]
    assert chosen(fetch_k=2) == ["0", "1"]
    assert chosen(filter=WithId(["1", "2"])) == ["1", "2"]
    assert chosen(filter=WithId([])) == []
    assert PassageIndex(GivenVectors()).search_diverse([1.0]) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"relevance": 1.1}, ValueError),
        ({"relevance": -0.1}, ValueError),
        ({"relevance": float("nan")}, ValueError),
        ({"relevance": "much"}, TypeError),
        ({"fetch_k": 0}, ValueError),
        ({"k": 0}, ValueError),
    ],
)
def test_weights_and_counts_that_cannot_be_are_refused(options, error):
    with pytest.raises(error):
        given_index([[1.0]]).search_diverse([1.0], **options)


# Conditions


@pytest.fixture
def towns(embedder):
    index = PassageIndex(embedder)
    index.add_entries(
        [
            Entry(Passage("Ada", id="ada", metadata={"year": 1990, "tags": ["a"]}), document="d"),
            Entry(Passage("Olo", id="olo", metadata={"year": 2001.5, "tags": []}), document="e"),
            Entry(Passage("Turin", id="turin", metadata={"year": "old", "note": "A Town"})),
            Entry(Passage("Po", id="po", metadata={"year": None, "old": True})),
        ]
    )
    return index


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Where("year", ">", 1990), {"olo"}),
        (Where("year", ">=", 1990), {"ada", "olo"}),
        (Where("year", "<", "z"), {"turin"}),
        (Where("year", "==", 1990.0), {"ada"}),
        (Where("year", "!=", 1990), {"olo", "turin", "po"}),
        (Where("year", "==", math.inf), set()),
        (Where("year", "in", [1990, "old"]), {"ada", "turin"}),
        (Where("year", "not in", ["old"]), {"ada", "olo", "po"}),
        (Where("tags", "contains", "a"), {"ada"}),
        (Where("note", "contains", "Town"), {"turin"}),
        (Where("tags", "contains any", ["b", "a"]), {"ada"}),
        (Where("tags", "contains all", ["b", "a"]), set()),
        (Where("note", "contains any", [1, "Town"]), {"turin"}),
        (Where("tags", "is empty"), {"olo", "turin", "po"}),
        (Where("year", "is empty"), {"po"}),
        (Where("note", "matches text", "Town"), {"turin"}),
        (Where("note", "matches text in any case", "tOWN"), {"turin"}),
        (Where("old", "==", 1), {"po"}),
        (WithId(["po", "unknown", "\ud800"]), {"po"}),
        (FromDocument(["d", "unknown"]), {"ada"}),
        (AllOf([Where("year", ">", 0), FromDocument(["e"])]), {"olo"}),
        (AnyOf([{"old": True}, FromDocument(["e"])]), {"olo", "po"}),
        (NoneOf([{"old": True}, FromDocument(["e"])]), {"ada", "turin"}),
        (AllOf(), {"ada", "olo", "turin", "po"}),
        (AnyOf(), set()),
        (NoneOf(), {"ada", "olo", "turin", "po"}),
    ],
    ids=lambda value: " ".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_a_condition_lets_through_exactly_what_meets_it(towns, condition, expected):
    assert {p.id for p in towns.search("Turin", k=9, filter=condition)} == expected
    assert {p.id for p in towns.matching(condition)} == expected
    assert towns.delete_matching(condition) == len(expected)
    assert {p.id for p in towns} == {"ada", "olo", "turin", "po"} - expected


def test_equal_conditions_are_one():
    ways = {AllOf([Where("year", ">", 3), WithId(names)]) for names in (["ada"], ("ada",), {"ada"})}

    assert len(ways) == 1


def test_an_operator_that_is_none_is_refused(towns):
    with pytest.raises(ValueError, match="there is no operator '=>'; use one of =="):
        Where("year", "=>", 3)
    with pytest.raises(TypeError, match="wrap it"):
        WithId("ada")
    with pytest.raises(TypeError, match="each of documents must be a str, got NoneType"):
        FromDocument([None])
    with pytest.raises(TypeError, match="be a condition, got int"):
        AllOf([{}, NoneOf([3])])
    with pytest.raises(TypeError, match="AnyOf needs a list of filters, got one Where"):
        AnyOf(Where("year", ">", 3))
    with pytest.raises(TypeError, match="the filter asks of 'year': range is not a JSON value"):
        towns.search("Turin", filter=NoneOf([{"year": range(3)}]))
    with pytest.raises(TypeError, match="deletes everything"):
        towns.delete_matching(None)

"""What an index promises, on real FAISS and real SQLite."""

import hashlib
import json
import os
import sqlite3
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.index import IndexFolderError, PassageIndex
from diekae_rag.index.vectors import VectorTable
from diekae_rag.passages import Passage

TOWNS = [
    Passage("Ada lives in Turin", id="ada", metadata={"kind": "person", "year": 1990}),
    Passage("Olo lives in Brint", id="olo", metadata={"kind": "person", "year": 2001}),
    Passage("Turin is a town", id="turin", metadata={"kind": "town", "old": True}),
    Passage("the Po is a river", id="po", metadata={"kind": "river", "mouth": None, "year": 1.0}),
]

texts = st.text(st.characters(codec=None, categories=None), max_size=40)
words = st.text(st.sampled_from("abc "), min_size=1, max_size=8).filter(str.strip)
passages = st.lists(
    st.builds(Passage, words, id=st.sampled_from("pqrstuvw")), max_size=12, unique_by=lambda p: p.id
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
quick = settings(max_examples=40, deadline=None)


@pytest.fixture
def index(embedder):
    return PassageIndex.build(TOWNS, embedder)


@pytest.fixture
def folder(index, tmp_path):
    index.save(tmp_path / "index")
    return tmp_path / "index"


def ids(found):
    return [passage.id for passage in found]


# Searching


def test_the_best_passage_comes_first_with_its_score_and_metadata(index):
    found = index.search("Ada lives in Turin", k=3)

    assert found[0].id == "ada"
    assert found[0].metadata == {"kind": "person", "year": 1990}
    assert found[0].score == pytest.approx(1)
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


def test_a_k_larger_than_the_index_finds_all_there_is(index):
    assert len(index.search("Turin", k=10**30)) == 4


def test_an_empty_index_finds_nothing(embedder):
    assert PassageIndex(embedder).search("Turin") == []


@pytest.mark.parametrize("k", [0, -1, np.int64(-3)])
def test_a_k_below_one_is_refused(index, k):
    with pytest.raises(ValueError, match="ask for 1 or more"):
        index.search("Turin", k=k)


@pytest.mark.parametrize("k", [1.5, "3", None, True])
def test_a_k_that_is_no_integer_is_refused(index, k):
    with pytest.raises(TypeError, match="k must be an integer"):
        index.search("Turin", k=k)


@pytest.mark.parametrize("query", ["", " \n\t"])
def test_a_blank_question_is_refused(index, embedder, query):
    with pytest.raises(ValueError, match="the question is blank"):
        index.search(query)
    with pytest.raises(ValueError, match="the question is blank"):
        PassageIndex(embedder).search(query)


def test_questions_of_another_type_are_refused(index):
    with pytest.raises(TypeError, match="must be a str, got int"):
        index.search(3)
    with pytest.raises(TypeError, match="wrap it"):
        index.search_many("Turin")


def test_several_questions_are_answered_as_one_by_one(index):
    questions = [f"{word} is a town {n}" for n in range(15) for word in ("Turin", "Brint", "Po")]

    together = index.search_many(questions, k=2)

    assert together == [index.search(question, k=2) for question in questions]
    assert index.search_many([]) == []


@given(found=st.lists(words, min_size=1, max_size=30), k=st.integers(1, 8), query=words)
@quick
def test_a_search_equals_sorting_all_passages_by_score_and_id(embedder, found, k, query):
    every = [Passage(text, id=str(n)) for n, text in enumerate(found)]
    scores = embedder.embed(found) @ embedder.embed([query])[0]

    results = PassageIndex.build(every, embedder).search(query, k=k)

    assert [p.score for p in results] == pytest.approx(sorted(scores, reverse=True)[:k], abs=1e-6)
    assert [(p.score, p.id) for p in results] == sorted(
        ((p.score, p.id) for p in results), key=lambda pair: (-pair[0], pair[1])
    )


def test_threads_may_search_while_others_add_and_delete(make_embedder):
    towns = [Passage(f"town {n}", id=f"{n}") for n in range(50)]
    index = PassageIndex.build(towns, make_embedder(vector_size=4096))

    def work(n):
        index.add([Passage(f"river {n}", id=f"r{n}")])
        found = index.search("town 7", k=3)
        index.delete([f"r{n}"])
        return found[0].text

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(work, range(60)))

    assert answers == {"town 7"}
    assert len(index) == 50


# Filtering


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"kind": "person"}, {"ada", "olo"}),
        ({"kind": ["town", "river"]}, {"turin", "po"}),
        ({"kind": {"town"}}, {"turin"}),
        ({"kind": "person", "year": 2001}, {"olo"}),
        ({"year": 1990.0}, {"ada"}),
        ({"year": 1}, {"po"}),
        ({"old": True}, {"turin"}),
        ({"old": 1}, set()),
        ({"mouth": None}, {"po"}),
        ({"kind": []}, set()),
        ({"unknown": "x"}, set()),
        ({}, {"ada", "olo", "turin", "po"}),
        (None, {"ada", "olo", "turin", "po"}),
    ],
)
def test_a_filter_keeps_exactly_the_passages_it_matches(index, conditions, expected):
    assert set(ids(index.search("Turin", k=4, filter=conditions))) == expected


def test_a_filter_that_matches_one_of_thousands_finds_it(embedder):
    crowd = [Passage(f"Turin Turin {n}", metadata={"n": n}) for n in range(3_000)]
    index = PassageIndex.build([*crowd, Passage("elsewhere", id="x", metadata={"n": -1})], embedder)

    assert ids(index.search("Turin", k=2, filter={"n": -1})) == ["x"]


@given(
    kinds=st.lists(st.sampled_from("abc"), min_size=1, max_size=25),
    wanted=st.sets(st.sampled_from("abcd")),
    k=st.integers(1, 6),
)
@quick
def test_a_filtered_search_is_the_search_of_an_index_of_the_matching(embedder, kinds, wanted, k):
    every = [Passage(f"{c} {n}", id=f"{n}", metadata={"c": c}) for n, c in enumerate(kinds)]
    matching = [p for p in every if p.metadata["c"] in wanted]

    found = PassageIndex.build(every, embedder).search("a 3", k, filter={"c": wanted})

    assert found == PassageIndex.build(matching, embedder).search("a 3", k)


def test_a_filter_of_another_type_is_refused(index):
    with pytest.raises(TypeError, match="filter must map"):
        index.search("Turin", filter="kind")
    with pytest.raises(TypeError, match="keys must be str"):
        index.search("Turin", filter={1: "x"})
    with pytest.raises(TypeError, match="not a JSON value"):
        index.search("Turin", filter={"kind": object()})


# Adding and deleting


@given(kept=passages, extra=passages, query=words)
@quick
def test_what_was_added_and_deleted_was_never_there(embedder, kept, extra, query):
    plain = PassageIndex.build(kept, embedder)
    busy = PassageIndex.build(kept, embedder)
    strangers = [Passage(p.text, id=f"x{p.id}") for p in extra]

    added = busy.add(strangers)

    assert busy.delete(added) == len(strangers)
    assert busy.search(query, k=5) == plain.search(query, k=5)
    assert list(busy) == list(plain)


@given(data=st.data(), every=passages, query=words)
@quick
def test_the_order_of_passages_does_not_matter(embedder, data, every, query):
    shuffled = data.draw(st.permutations(every))

    one, other = PassageIndex.build(every, embedder), PassageIndex(embedder)
    for passage in shuffled:
        other.add([passage])

    assert one.search(query, k=3) == other.search(query, k=3)


def test_a_passage_with_a_known_id_takes_the_place_of_the_old_one(index):
    index.add([Passage("Ada moved to Brint", id="ada", metadata={"kind": "rumour"})])

    assert len(index) == 4
    assert index.get(["ada"])[0].text == "Ada moved to Brint"
    assert ids(index.search("Ada", filter={"kind": "person"})) == ["olo"]
    assert index.search("Ada lives in Turin", k=1)[0].score < 0.99


def test_the_last_of_several_passages_with_one_id_counts(embedder):
    index = PassageIndex.build([Passage("old", id="x"), Passage("new", id="x")], embedder)

    assert [p.text for p in index] == ["new"]
    assert index.search("new", k=5)[0].score == pytest.approx(1)


def test_deleting_counts_what_was_there(index):
    assert index.delete(["ada", "ada", "unknown", "\ud800"]) == 1
    assert "ada" not in index
    assert "olo" in index
    assert index.delete([]) == 0


def test_an_index_that_was_emptied_can_be_filled_again(index):
    index.delete(ids(index))
    assert index.search("Turin") == []

    index.add(["Turin"])

    assert len(index.search("Turin")) == 1


def test_getting_keeps_the_order_asked_for_and_leaves_out_the_unknown(index):
    assert ids(index.get(["po", "unknown", "ada"])) == ["po", "ada"]


def test_one_string_or_a_number_is_no_list_of_ids(index):
    with pytest.raises(TypeError, match="wrap it"):
        index.delete("ada")
    with pytest.raises(TypeError, match="must be a str, got int"):
        index.get([1])


def test_strings_and_mappings_are_passages_too(embedder):
    index = PassageIndex.build(["Turin", {"text": "Brint", "id": "b", "year": 1}], embedder)

    assert index.get(["b"])[0].metadata == {"year": 1}
    with pytest.raises(TypeError, match="passages must be a list"):
        index.add("Turin")


def test_passages_of_only_spaces_are_left_out_with_a_warning(index, embedder):
    with pytest.warns(UserWarning, match="2 of 3 passages had only spaces") as caught:
        added = index.add(["", " \n", Passage("new", id="n")])

    assert added == ["n"]
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="1 of 1"):
        assert len(PassageIndex.build([" "], embedder)) == 0


@pytest.mark.parametrize(
    "metadata", [{"a": {1, 2}}, {"a": float("nan")}, {1: "a"}, {"a": {2: 3}}, {"a": b"x"}, ["a"]]
)
def test_metadata_that_is_not_json_is_refused_and_nothing_is_added(index, metadata):
    before = list(index)

    with pytest.raises(TypeError, match="the metadata of passage 'bad'"):
        index.add([Passage("fine"), Passage("text", id="bad", metadata=metadata)])

    assert list(index) == before


def test_vectors_that_cannot_be_kept_leave_the_index_as_it_was(index, tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(VectorTable, "add", fail)
    with pytest.raises(MemoryError):
        index.add([Passage("Ada moved", id="ada"), "new"])
    monkeypatch.undo()

    assert len(index) == 4
    assert index.search("Ada lives in Turin", k=1)[0].text == "Ada lives in Turin"
    index.save(tmp_path / "index")
    assert len(PassageIndex.load(tmp_path / "index", index.embedder)) == 4


def test_an_embedder_that_fails_leaves_the_index_as_it_was(index, embedder, monkeypatch):
    before = list(index)
    monkeypatch.setattr(embedder, "embed", lambda texts, **_: np.zeros((len(texts), 5)))

    with pytest.raises(ValueError, match="vectors of 5 numbers came, this index holds 32"):
        index.add(["new"])

    assert list(index) == before


# Text


@given(text=texts, metadata=st.dictionaries(texts, texts, max_size=3), query=texts)
@quick
def test_any_text_is_stored_and_found_with_only_lone_surrogates_replaced(
    embedder, text, metadata, query
):
    passage = Passage(f"{text}.", metadata=metadata)
    index = PassageIndex.build([passage], embedder)

    (found,) = index.search(f"{query}?", filter=metadata)

    assert found.text == "".join(
        "\ufffd" if "\ud800" <= character <= "\udfff" else character for character in passage.text
    )
    assert ids(index.get([passage.id])) == [passage.id]


@given(metadata=st.dictionaries(st.text(max_size=4), json_values, max_size=3))
@quick
def test_any_json_metadata_comes_back_as_it_was(embedder, metadata):
    index = PassageIndex.build([Passage("text", metadata=metadata)], embedder)

    assert next(iter(index)).metadata == metadata
    assert len(index.search("text", filter={k: [v] for k, v in metadata.items()})) == 1


def test_an_id_that_cannot_be_encoded_is_refused(index):
    with pytest.raises(ValueError, match="lone surrogates"):
        index.add([Passage("text", id="\ud800")])


# Saving and loading


@given(every=passages, query=words)
@quick
def test_a_loaded_index_searches_as_the_saved_one_did(embedder, every, query):
    index = PassageIndex.build([Passage("gone", id="gone"), *every], embedder)
    index.delete(["gone"])
    with tempfile.TemporaryDirectory() as folder:
        index.save(f"{folder}/index")
        loaded = PassageIndex.load(f"{folder}/index", embedder)

    assert loaded.search(query, k=3) == index.search(query, k=3)
    assert list(loaded) == list(index)


def test_a_loaded_index_can_be_filtered_changed_and_saved_again(folder, embedder):
    index = PassageIndex.load(folder, embedder)
    index.add([Passage("Brint is a town", id="brint", metadata={"kind": "town"})])
    index.delete(["turin"])
    index.save(folder)

    again = PassageIndex.load(folder, embedder)

    assert ids(again.search("town", filter={"kind": "town"})) == ["brint"]
    assert os.listdir(folder.parent) == ["index"]


def test_a_saved_index_is_three_files_without_pickle(folder):
    assert sorted(os.listdir(folder)) == ["manifest.json", "passages.sqlite", "vectors.npy"]
    assert np.load(folder / "vectors.npy", allow_pickle=False).shape == (4, 32)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["count"] == 4
    assert manifest["files"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("passages.sqlite", "vectors.npy")
    }


def test_a_saved_index_neither_holds_nor_is_as_large_as_what_was_deleted(embedder, tmp_path):
    index = PassageIndex.build(["kept"], embedder)
    index.add(Passage(f"secret {'x' * 5000}", id=str(number)) for number in range(100))
    index.delete(str(number) for number in range(100))

    index.save(tmp_path / "index")

    content = (tmp_path / "index" / "passages.sqlite").read_bytes()
    assert b"secret" not in content
    assert len(content) < 100_000
    assert [p.text for p in PassageIndex.load(tmp_path / "index", embedder)] == ["kept"]


def test_loading_leaves_the_folder_as_it_was(folder, embedder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    PassageIndex.load(folder, embedder).add(["new"])

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("failing_call", [1, 2])
def test_a_save_that_fails_leaves_the_old_index_and_no_debris(
    folder, embedder, monkeypatch, failing_call
):
    calls, rename = [], os.rename

    def failing_rename(source, target):
        calls.append(source)
        if len(calls) == failing_call:
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing_rename)
    with pytest.raises(OSError, match="disk full"):
        PassageIndex.build(["new"], embedder).save(folder)

    assert len(PassageIndex.load(folder, embedder)) == 4
    assert os.listdir(folder.parent) == ["index"]


def test_a_crash_between_the_renames_leaves_an_index_that_the_error_names(folder, embedder):
    aside = folder.with_name(".index.previous")
    folder.rename(aside)

    with pytest.raises(IndexFolderError, match=r"left .*\.index\.previous; rename it back"):
        PassageIndex.load(folder, embedder)

    assert len(PassageIndex.load(aside, embedder)) == 4


def test_saving_never_replaces_what_is_no_index(index, folder, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"photo")
    (tmp_path / "file").write_text("text")
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(IndexFolderError, match="is not a passage index"):
        index.save(tmp_path / "photos")
    with pytest.raises(IndexFolderError, match="is a file"):
        index.save(tmp_path / "file")
    with pytest.raises(IndexFolderError, match=r"also holds 'notes\.txt'"):
        index.save(folder)

    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"photo"
    assert (folder / "notes.txt").read_text() == "mine"


def test_an_index_is_saved_into_an_empty_or_a_new_folder(index, embedder, tmp_path):
    (tmp_path / "empty").mkdir()

    index.save(tmp_path / "empty")
    index.save(tmp_path / "deep" / "er")

    assert len(PassageIndex.load(tmp_path / "empty", embedder)) == 4
    assert len(PassageIndex.load(tmp_path / "deep" / "er", embedder)) == 4


def test_an_empty_index_is_saved_and_loaded(embedder, tmp_path):
    PassageIndex(embedder).save(tmp_path / "index")

    loaded = PassageIndex.load(tmp_path / "index", embedder)
    loaded.add(["Turin"])

    assert len(loaded.search("Turin")) == 1


# Damage


@pytest.mark.parametrize("name", ["passages.sqlite", "vectors.npy"])
@pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b"", lambda b: b[:-1] + b"?"])
def test_a_changed_or_truncated_file_is_named(folder, embedder, name, damage):
    (folder / name).write_bytes(damage((folder / name).read_bytes()))

    with pytest.raises(IndexFolderError, match=f"damaged: {name} is not the file that was saved"):
        PassageIndex.load(folder, embedder)


@pytest.mark.parametrize("name", ["passages.sqlite", "vectors.npy", "manifest.json"])
def test_a_missing_file_is_named(folder, embedder, name):
    (folder / name).unlink()

    with pytest.raises(IndexFolderError, match=name):
        PassageIndex.load(folder, embedder)


def rewrite(folder, **changes):
    """Changes the manifest, with checksums that fit what lies beside it."""
    path = folder / "manifest.json"
    files = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("passages.sqlite", "vectors.npy")
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "index format 4, this diekae_rag reads 3; upgrade"),
        ({"probe": {}}, "the probe is no text with its vector"),
        ({"probe": {"text": "Ada", "vector": [1.0]}}, "the probe is no text with 32 numbers"),
        ({"probe": {"text": 3, "vector": [0.0] * 32}}, "the probe is no text with 32 numbers"),
        ({"probe": {"text": "Ada", "vector": ["x"] * 32}}, "the probe's vector cannot be read"),
        ({"format": "other"}, "is not a passage index"),
        ({"count": 3}, "not a float32 array of shape"),
        ({"count": -1}, "not a float32 array of shape"),
        ({"vector_size": 31}, "not a float32 array of shape"),
        ({"vector_size": 0}, "without a vector size"),
        ({"count": "4"}, "lacks what it should say"),
        ({"version": True}, "lacks what it should say"),
        ({"surprise": 1}, "lacks what it should say"),
        ({"files": {}}, "its SHA-256 differs"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, embedder, changes, message):
    rewrite(folder, **changes)

    with pytest.raises(IndexFolderError, match=message):
        PassageIndex.load(folder, embedder)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\x00"])
def test_a_manifest_that_is_no_json_object_makes_a_foreign_folder(folder, embedder, content):
    (folder / "manifest.json").write_text(content)

    with pytest.raises(IndexFolderError, match="is not a passage index"):
        PassageIndex.load(folder, embedder)


@pytest.mark.parametrize(
    "array",
    [
        np.array([["pickled", {}]], dtype=object),
        np.zeros((4, 32), np.float64),
        np.zeros((4,), np.float32),
        np.full((4, 32), np.nan, np.float32),
    ],
)
def test_an_array_that_is_not_ours_is_refused_without_unpickling(folder, embedder, array):
    np.save(folder / "vectors.npy", array, allow_pickle=True)
    rewrite(folder)

    with pytest.raises(IndexFolderError, match=r"vectors\.npy"):
        PassageIndex.load(folder, embedder)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM passages WHERE id = 'ada'",
        "CREATE TRIGGER t AFTER INSERT ON passages BEGIN DELETE FROM passages; END",
        "CREATE VIEW v AS SELECT 1",
        "INSERT INTO attachments VALUES (99, 'a', 'to no passage')",
        "INSERT INTO attachments VALUES (0, 'a', x'00ff')",
        "DROP TABLE metadata",
        "DELETE FROM metadata",
        "UPDATE passages SET text = x'00ff' WHERE id = 'ada'",
        "UPDATE passages SET text = CAST(x'ff' AS TEXT) WHERE id = 'ada'",
        "UPDATE passages SET metadata = '{' WHERE id = 'ada'",
        "UPDATE passages SET metadata = '[]' WHERE id = 'ada'",
    ],
)
def test_a_database_that_is_not_ours_is_refused(folder, embedder, statement):
    with sqlite3.connect(folder / "passages.sqlite") as connection:
        connection.execute(statement)
    connection.close()
    rewrite(folder)

    with pytest.raises(IndexFolderError, match=r"passages\.sqlite"):
        PassageIndex.load(folder, embedder)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(200), b"\x93NUMPY\x01\x00\x02\x00( "])
def test_an_archive_or_half_a_header_in_the_place_of_the_array_is_refused(
    folder, embedder, content
):
    (folder / "vectors.npy").write_bytes(content)
    rewrite(folder)

    with pytest.raises(IndexFolderError, match=r"vectors\.npy cannot be read"):
        PassageIndex.load(folder, embedder)


def test_reading_while_another_saves_never_mixes_two_indexes(tmp_path, embedder):
    names = ["Ada", "Olo"]
    indexes = [PassageIndex.build([f"{name} {n}" for n in range(40)], embedder) for name in names]
    indexes[0].save(tmp_path / "index")
    vectors = {name: index._contents.vectors() for name, index in zip(names, indexes, strict=True)}
    is_done = threading.Event()

    def save():
        while not is_done.is_set():
            for index in indexes:
                index.save(tmp_path / "index")
                time.sleep(0.005)

    with ThreadPoolExecutor(1) as others:
        others.submit(save)
        try:
            for _ in range(60):
                found = PassageIndex.load(tmp_path / "index", embedder)
                name = next(iter(found)).text.split()[0]
                assert {passage.text.split()[0] for passage in found} == {name}
                assert np.array_equal(found._contents.vectors(), vectors[name])
        finally:
            is_done.set()


def test_those_who_save_at_once_take_turns(tmp_path, embedder):
    indexes = [PassageIndex.build([f"Ada {number}"], embedder) for number in range(4)]

    def save(index):
        for _ in range(15):
            index.save(tmp_path / "index")

    with ThreadPoolExecutor(4) as savers:
        list(savers.map(save, indexes))

    assert os.listdir(tmp_path) == ["index"]
    assert len(PassageIndex.load(tmp_path / "index", embedder)) == 1


def test_bytes_that_are_no_database_are_refused(folder, embedder):
    (folder / "passages.sqlite").write_bytes(b"not a database" * 100)
    rewrite(folder)

    with pytest.raises(IndexFolderError, match=r"passages\.sqlite cannot be read"):
        PassageIndex.load(folder, embedder)


def test_missing_and_foreign_places_are_clear_errors(embedder, tmp_path):
    (tmp_path / "file").write_text("text")

    with pytest.raises(IndexFolderError, match="does not exist"):
        PassageIndex.load(tmp_path / "missing", embedder)
    with pytest.raises(IndexFolderError, match="is a file"):
        PassageIndex.load(tmp_path / "file", embedder)
    with pytest.raises(IndexFolderError, match="is not a passage index"):
        PassageIndex.load(tmp_path, embedder)


# Whose vectors


@pytest.mark.parametrize(("name", "size"), [("hashing", 16), ("other", 32)])
def test_an_embedder_that_did_not_make_the_vectors_is_refused(folder, make_embedder, name, size):
    with pytest.raises(IndexFolderError, match=r"were made by 'hashing'; .* reads the same"):
        PassageIndex.load(folder, make_embedder(name, size))


def test_the_same_embedder_under_another_name_is_accepted(folder, embedder):
    class Renamed:
        name = "renamed"
        embed = staticmethod(embedder.embed)

    assert len(PassageIndex.load(folder, Renamed())) == 4


def test_an_embedder_object_has_to_be_passed_again(folder):
    with pytest.raises(IndexFolderError, match="'hashing', an embedder object"):
        PassageIndex.load(folder)


@pytest.mark.parametrize("name", ["/tmp/model", "../model", "someone/model", ".", "a\nb", "here"])
def test_a_manifest_cannot_choose_a_path_or_anothers_model(folder, monkeypatch, name):
    monkeypatch.chdir(folder.parent)
    Path("here").mkdir()
    rewrite(folder, embedder=name, is_custom_embedder=False)

    with pytest.raises(IndexFolderError, match="not loaded unasked"):
        PassageIndex.load(folder)


@pytest.mark.parametrize("name", ["all-mpnet-base-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_a_manifest_may_name_a_sentence_transformers_model(folder, name):
    rewrite(folder, embedder=name, is_custom_embedder=False)

    index = PassageIndex.load(folder)

    assert index.embedder.name == name
    assert not index.embedder.is_loaded
    assert len(list(index)) == 4

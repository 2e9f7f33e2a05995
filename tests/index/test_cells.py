"""Among many passages a search looks into the nearest cells: what it promises and keeps."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.index import Entry, GivenVectors, IndexFolderError, PassageIndex, vectors
from diekae_rag.index.cell_training import train_cells
from diekae_rag.index.cells import Calibration, Cells
from diekae_rag.passages import Passage

SIZE = 16


def drawn(count, seed):
    """Vectors around 40 centres."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, SIZE))
    noise = random.standard_normal((count, SIZE)) / 3
    units = centres[random.integers(40, size=count)] + noise
    return (units / np.linalg.norm(units, axis=1, keepdims=True)).astype(np.float32)


VECTORS, QUESTIONS = drawn(3000, 1), drawn(40, 2)


def entries(rows, first=0):
    return [
        Entry(Passage(f"text {n}", id=f"{n}", metadata={"tenth": n % 10, "n": n}), vector=row)
        for n, row in enumerate(rows, first)
    ]


def index_of(rows, exact_up_to):
    index = PassageIndex(GivenVectors(), exact_up_to=exact_up_to)
    index.add_entries(entries(rows))
    return index


@pytest.fixture(scope="module")
def exact():
    return index_of(VECTORS, exact_up_to=5000)


@pytest.fixture(scope="module")
def built():
    return index_of(VECTORS, exact_up_to=1000)


@pytest.fixture
def folder(built, tmp_path):
    built.save(tmp_path / "index")
    return tmp_path / "index"


def everywhere(patch):
    """Lets cells be made of few vectors and searches look into every cell."""

    def train(*arguments, **options):
        cells = train_cells(*arguments, **options)
        cells.calibration = Calibration(1.0, 1.0, cells.calibration.num_vectors)
        return cells

    patch.setattr(vectors, "train_cells", train)
    patch.setattr(vectors, "_LARGEST_SHARE", 1.0)


def no_training(*_, **__):
    raise AssertionError("cells are made")


def ids(found):
    return [passage.id for passage in found]


def recall(found, true):
    pairs = zip(found, true, strict=True)
    return np.mean([len({*ids(a)} & {*ids(b)}) / len(b) for a, b in pairs])


# What is found


def test_nearly_all_of_the_nearest_are_found_by_comparing_a_part(built, exact):
    info = built.search_info

    found = built.search_many(list(QUESTIONS), k=5)

    assert not info["is_exact"]
    assert info["recall"] >= 0.97
    assert info["compared_share"] < 0.33
    assert recall(found, exact.search_many(list(QUESTIONS), k=5)) >= 0.95


def test_scores_are_cosines_the_best_first(built):
    for question in QUESTIONS[:5]:
        found = built.search(question, k=20)

        scores = [p.score for p in found]
        assert scores == pytest.approx([VECTORS[int(p.id)] @ question for p in found], abs=1e-6)
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("k", [1, 5, 50, 2999, 3000, 10**6])
def test_as_many_come_back_as_were_asked_for(built, k):
    assert len(built.search(QUESTIONS[0], k)) == min(k, 3000)


def test_all_of_them_are_found_as_an_exact_search_finds_them(built, exact):
    assert built.search(QUESTIONS[0], 3000) == exact.search(QUESTIONS[0], 3000)


def test_with_every_cell_looked_into_a_search_is_exact(exact, monkeypatch):
    everywhere(monkeypatch)
    index = index_of(VECTORS, exact_up_to=1000)
    assert not index.search_info["is_exact"]

    for options in ({}, {"filter": {"tenth": [1, 4]}}, {"k": 100}):
        together = index.search_many(list(QUESTIONS), **options)
        assert together == exact.search_many(list(QUESTIONS), **options)
        assert together[0] == index.search(QUESTIONS[0], **options)
    assert index.search_diverse(QUESTIONS[0]) == exact.search_diverse(QUESTIONS[0])


def test_equal_scores_are_ordered_by_id(monkeypatch):
    everywhere(monkeypatch)
    index = index_of([VECTORS[0]] * 30, exact_up_to=3)

    assert ids(index.search(VECTORS[0], k=4)) == ["0", "1", "10", "11"]


def test_a_filter_that_few_match_finds_exactly_those(built, exact):
    few = {"n": list(range(0, 300, 7))}

    for question in QUESTIONS:
        assert built.search(question, 5, few) == exact.search(question, 5, few)
    assert ids(built.search(QUESTIONS[0], 5, {"n": 1234})) == ["1234"]
    assert built.search(QUESTIONS[0], 5, {"n": -1}) == []


def test_a_filter_that_many_match_finds_nearly_all_of_the_nearest(built, exact):
    half = {"tenth": [0, 1, 2, 3, 4]}
    found = built.search_many(list(QUESTIONS), 5, half)

    assert {p.metadata["tenth"] < 5 for hits in found for p in hits} == {True}
    assert recall(found, exact.search_many(list(QUESTIONS), 5, half)) >= 0.95


def test_relevance_alone_is_a_search_of_the_nearest_cells_too(built):
    found = built.search_diverse(QUESTIONS[0], 3, fetch_k=3, relevance=1.0)

    assert found == built.search(QUESTIONS[0], 3)


def test_vectors_without_structure_are_all_compared(embedder):
    random = np.random.default_rng(3)
    index = index_of(random.standard_normal((1500, 64)), exact_up_to=1000)

    assert index.search_info["is_exact"]
    assert index.search_info["compared_share"] > 1 / 3


def test_up_to_the_threshold_no_cells_are_made(monkeypatch, tmp_path):
    monkeypatch.setattr(vectors, "train_cells", no_training)
    index = index_of(VECTORS, exact_up_to=3000)
    index.save(tmp_path / "index")

    assert index.search_info == {"is_exact": True}
    assert len(list((tmp_path / "index").iterdir())) == 3
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["version"] == 2


@given(
    centroids=st.integers(1, 6),
    enough=st.integers(1, 40),
    among=st.sets(st.integers(0, 29), min_size=1) | st.none(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_nearest_cells_are_taken_whole_until_they_hold_enough(centroids, enough, among, seed):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((centroids, 3)).astype(np.float32)
    numbers = random.integers(centroids, size=30).astype(np.uint16)
    query = random.standard_normal(3).astype(np.float32)
    places = list(range(30)) if among is None else sorted(among)
    cells = Cells(centres, numbers, Calibration(0.5, 1.0, 30))

    near = cells.near(query, enough, cells.groups(None if among is None else np.array(places)))

    expected = []
    for cell in np.argsort(-(centres @ query)):
        if len(expected) < enough:
            expected += [place for place in places if numbers[place] == cell]
    assert near.tolist() == expected


# Adding and deleting


changes = st.lists(
    st.tuples(st.sampled_from(["add", "delete"]), st.lists(st.integers(0, 40), max_size=12)),
    min_size=1,
    max_size=8,
)


@given(changes=changes, seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_an_index_after_any_history_is_the_dictionary_sorted(changes, seed):
    random = np.random.default_rng(seed)
    index, model = PassageIndex(GivenVectors(), exact_up_to=4), {}
    with pytest.MonkeyPatch.context() as patch:
        everywhere(patch)
        for what, numbers in changes:
            if what == "delete":
                index.delete(str(n) for n in numbers)
                model = {n: vector for n, vector in model.items() if n not in numbers}
            else:
                new = {n: random.standard_normal(3) for n in numbers}
                index.add_entries(Entry(Passage(f"{n}", id=f"{n}"), v) for n, v in new.items())
                model |= new
            query = random.standard_normal(3)
            scores = {
                str(n): query @ v / np.linalg.norm(query) / np.linalg.norm(v)
                for n, v in model.items()
            }
            found = index.search(query, k=7)

            best = sorted(scores, key=lambda id_: -scores[id_])[:7]
            assert ids(found) == best
            assert [p.score for p in found] == pytest.approx([scores[i] for i in best], abs=1e-5)


def test_what_is_added_later_is_found_and_what_is_deleted_is_not():
    index = index_of(VECTORS, exact_up_to=1000)
    index.add_entries(entries(QUESTIONS[:20], first=5000))
    index.add_entries(entries(QUESTIONS[20:30], first=0))
    index.delete(str(n) for n in range(10, 2000))

    new = [ids(index.search(question, k=1))[0] for question in QUESTIONS[:30]]

    assert new == [str(n) for n in (*range(5000, 5020), *range(10))]
    assert not index.search_info["is_exact"]
    found = {p.id for hits in index.search_many(list(QUESTIONS), k=50) for p in hits}
    assert not found & {str(n) for n in range(10, 2000)}


def test_cells_are_made_anew_once_as_many_came_as_there_were(monkeypatch):
    made = []

    def train(given, **options):
        made.append(len(given))
        return train_cells(given, **options)

    monkeypatch.setattr(vectors, "train_cells", train)
    index = PassageIndex(GivenVectors(), exact_up_to=300)
    for start in range(0, 1500, 100):
        index.add_entries(entries(VECTORS[start : start + 100], start))
    for _ in range(4):  # the same ones again: as many came as if they were new
        index.add_entries(entries(VECTORS[:200]))

    assert made == [400, 800, 1500]


def test_few_passages_left_are_searched_exactly_again():
    index = index_of(VECTORS, exact_up_to=1000)
    index.delete(str(n) for n in range(1000, 3000))

    assert index.search_info["is_exact"]
    assert index.search(QUESTIONS[0]) == index_of(VECTORS[:1000], 5000).search(QUESTIONS[0])


def test_an_add_whose_cells_fail_has_added_and_searches_stay_exact(monkeypatch, exact):
    index = PassageIndex(GivenVectors(), exact_up_to=1000)
    monkeypatch.setattr(vectors, "train_cells", no_training)
    with pytest.raises(AssertionError, match="cells are made"):
        index.add_entries(entries(VECTORS))
    monkeypatch.undo()

    assert index.search(QUESTIONS[0]) == exact.search(QUESTIONS[0])
    index.add_entries(entries(VECTORS[:1]))
    assert not index.search_info["is_exact"]


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_a_threshold_that_cannot_be_is_refused(value, error):
    with pytest.raises(error, match="exact_up_to"):
        PassageIndex(GivenVectors(), exact_up_to=value)


def test_making_cells_shows_progress_where_asked(capsys):
    PassageIndex(GivenVectors(), exact_up_to=9).add_entries(
        entries(VECTORS[:50]), show_progress=True
    )

    shown = capsys.readouterr()
    assert "Finding cells" in shown.err
    assert "Filling cells" in shown.err
    assert not shown.out


# Saving and loading


def load(folder):
    return PassageIndex.load(folder, takes_vectors=True, exact_up_to=1000)


def test_a_loaded_index_searches_as_the_saved_one_and_makes_no_cells(built, folder, monkeypatch):
    monkeypatch.setattr(vectors, "train_cells", no_training)
    monkeypatch.setattr(vectors, "nearest_cells", no_training)

    loaded = load(folder)

    assert loaded.search_info == built.search_info
    searched = [index.search_many(list(QUESTIONS), k=9) for index in (built, loaded)]
    assert searched[0] == searched[1]
    assert sorted(path.name for path in folder.iterdir()) == [
        "cells.npy",
        "centroids.npy",
        "manifest.json",
        "passages.sqlite",
        "vectors.npy",
    ]
    assert json.loads((folder / "manifest.json").read_text())["version"] == 3


def test_an_index_is_saved_and_loaded_after_holes_were_filled(tmp_path):
    index = index_of(VECTORS, exact_up_to=1000)
    index.delete(str(n) for n in range(0, 900, 3))
    index.add_entries(entries(QUESTIONS, first=7000))
    index.save(tmp_path / "index")

    loaded = load(tmp_path / "index")

    assert loaded.search_many(list(VECTORS[:50])) == index.search_many(list(VECTORS[:50]))
    loaded.save(tmp_path / "index")
    assert load(tmp_path / "index").search_info == index.search_info


def test_a_folder_without_cells_is_searched_exactly_until_something_is_added(exact, tmp_path):
    exact.save(tmp_path / "index")

    index = load(tmp_path / "index")

    assert index.search_info == {"is_exact": True}
    index.add_entries(entries(VECTORS[:1]))
    assert not index.search_info["is_exact"]


@pytest.mark.parametrize("name", ["centroids.npy", "cells.npy"])
def test_damaged_and_missing_cells_are_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IndexFolderError, match=f"{name} is not the file that was saved"):
        load(folder)

    (folder / name).unlink()
    with pytest.raises(IndexFolderError, match=f"has no {name}"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("centroids.npy", np.zeros((3, SIZE + 1), np.float32)),
        ("centroids.npy", np.zeros((3, SIZE), np.float64)),
        ("centroids.npy", np.zeros((0, SIZE), np.float32)),
        ("centroids.npy", np.full((300, SIZE), np.nan, np.float32)),
        ("centroids.npy", np.float32(3)),
        ("cells.npy", np.zeros(2999, np.uint16)),
        ("cells.npy", np.zeros(3000, np.int64)),
        ("cells.npy", np.full(3000, 60_000, np.uint16)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(folder, name, array):
    np.save(folder / name, array)
    rewrite(folder)

    with pytest.raises(IndexFolderError, match=f"damaged: {name} is no"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"share": 0.0}, "cannot be"),
        ({"share": 1.5}, "cannot be"),
        ({"share": float("nan")}, "cannot be"),
        ({"num_vectors": 0}, "cannot be"),
        ({"num_added": -1}, "cannot be"),
        ({"recall": "much"}, "lacks what it should say"),
        ({"surprise": 1}, "lacks what it should say"),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(folder, change, message):
    rewrite(folder, **change)

    with pytest.raises(IndexFolderError, match=message):
        load(folder)


def rewrite(folder, **change):
    """Changes what the manifest says of cells, with checksums that fit what lies beside it."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    content["cells"] |= change
    for name in content["files"]:
        content["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(content))

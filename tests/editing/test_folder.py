"""Edits in a folder: on disk when a call returns, for everybody, and never half of them."""

import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest

from diekae_rag.editing import Edits, EditsError

BORN = ("Drola Brenk", "{} was born in", "Oltun")
spawned = multiprocessing.get_context("spawn")


class Hashing:
    """An embedder that needs no model: letters are counted."""

    def __init__(self, name="letters", letters="abdeinorsw"):
        self.name, self.letters = name, letters

    def embed(self, texts, *, show_progress=False):
        rows = [[text.count(c) + 0.1 for c in self.letters] for text in texts]
        return np.array(rows, np.float32)


def opened(folder, **options):
    edits = Edits(options.pop("embedder", Hashing()))
    edits.open(folder, **options)
    return edits


def contents(edits):
    return [edit.to_dict() for edit in edits]


def scores(edits, *prompts):
    return [[(m.edit, m.score) for m in edits.find(prompt)] for prompt in prompts]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "edits"


@pytest.fixture
def kept(folder, facts):
    opened(folder).add_many(facts)
    return folder


# --- what is saved is there again


def test_what_is_saved_is_loaded_with_every_version(edits, embedder, facts, folder):
    edits.add_many(facts)
    edits.remove("2")
    edits.add(*BORN, "Turin")
    edits.save(folder)
    prompts = ["Where was Drola Brenk born?", "Drola Brenk works as a", "Brenk Mills is based in"]
    for way in ("open", "load"):
        again = Edits(embedder)
        getattr(again, way)(folder)

        assert contents(again) == contents(edits)
        assert scores(again, *prompts) == scores(edits, *prompts)
        assert again.history() == edits.history()
        assert (again.fingerprint, again.threshold) == (edits.fingerprint, edits.threshold)
        assert [contents(again.list(v)) for v in range(4)] == [
            contents(edits.list(v)) for v in range(4)
        ]


def test_nothing_in_a_folder_is_pickled(edits, facts, folder):
    edits.add_many(facts)
    edits.save(folder)

    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "edits.sqlite"
    assert [name.split("-")[0] + name[-12:] for name in names[1:]] == ["vectors.safetensors"]


def test_what_is_loaded_is_apart_from_its_folder(kept):
    loaded = Edits(Hashing())
    loaded.load(kept)
    loaded.clear()

    assert (len(loaded), loaded.folder) == (0, None)
    assert len(opened(kept)) == 3


def test_saving_again_takes_the_place_of_what_was_there(kept, folder):
    other = Edits(Hashing())
    other.add(*BORN, "Turin")
    before = opened(folder)
    other.save(folder)

    assert [edit["new"] for edit in contents(opened(folder))] == ["Turin"]
    assert [edit["new"] for edit in contents(before)] == ["Turin"]
    before.add("Brenk Mills", "{} is based in", "Oltun", "Kolwick")
    assert len(opened(folder)) == 2


def test_many_small_files_are_put_together(folder):
    edits = opened(folder)
    for number in range(40):
        edits.add("Ada", f"Ada's {'abdein'[number % 6] * (1 + number)} is", "old", str(number))

    assert len(list(folder.glob("vectors-*"))) <= 17
    assert [m.edit.new for m in opened(folder).find("Ada's b is")] == []
    assert scores(opened(folder), "Ada's bb is") == scores(edits, "Ada's bb is")


# --- several at once


def test_another_sees_a_change_with_its_next_call(kept):
    mine, theirs = opened(kept), opened(kept)
    added = mine.add(*BORN, "Turin")

    assert [m.edit for m in theirs.find("Drola Brenk was born in")] == [added]
    theirs.remove(added.id)
    assert [m.edit.new for m in mine.find("Drola Brenk was born in")] == ["Kolwick"]
    theirs.rollback(0)
    assert len(mine) == 0


def add_one_by_one(folder, name, count):
    edits = opened(folder)
    for number in range(count):
        edits.add(f"{name} {number}", "{} is in", "Oltun", f"{name}{number}")


def test_two_processes_that_write_wait_for_each_other_and_lose_nothing(folder):
    processes = [
        spawned.Process(target=add_one_by_one, args=(folder, name, 12)) for name in ("A", "B")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0]
    edits = opened(folder)
    assert len({edit.id for edit in edits}) == len(edits) == edits.version == 24
    assert all(edits.find(f"{name} {n} is in") for name in "AB" for n in range(12))


def add_many_slowly(folder, is_writing):
    from diekae_rag.editing.store import EditStore

    own = EditStore.add

    def add(store, edits, replaced):
        numbers = own(store, edits, replaced)
        is_writing.set()  # everything is written but not committed
        time.sleep(60)
        return numbers

    EditStore.add = add
    rows = [{"subject": f"S{n}", "prompt": "{} is", "old": "a", "new": "b"} for n in range(5000)]
    opened(folder).add_many(rows)


def test_who_is_killed_while_adding_many_has_added_none(kept):
    before = contents(opened(kept))
    is_writing = spawned.Event()
    process = spawned.Process(target=add_many_slowly, args=(kept, is_writing))
    process.start()
    assert is_writing.wait(120)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)

    edits = opened(kept)
    assert contents(edits) == before
    assert edits.version == 1
    edits.add("S1", "{} is", "a", "b")
    assert len(opened(kept)) == 4


def test_what_is_cut_short_in_its_transaction_has_changed_nothing(kept, monkeypatch):
    edits = opened(kept)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(edits._now.store, "_begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        edits.add(*BORN, "Turin")

    assert len(edits) == len(opened(kept)) == 3
    assert edits.version == 1


# --- what is refused


def damage(path):
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 64):
        content[at] ^= 0xFF
    path.write_bytes(content)


def test_a_damaged_vectors_file_is_refused_and_made_anew_once_deleted(kept):
    (path,) = kept.glob("vectors-*")
    whole = scores(opened(kept), "Drola Brenk was born in Kolwick")
    damage(path)

    with pytest.raises(EditsError, match=r"is damaged .*delete it"):
        opened(kept)
    path.unlink()
    assert scores(opened(kept), "Drola Brenk was born in Kolwick") == whole


@pytest.mark.parametrize("content", [b"SQLite format 3\x00" + b"x" * 500, b"no database" * 100])
def test_a_file_that_is_no_database_is_refused(kept, content):
    (kept / "edits.sqlite").write_bytes(content)

    with pytest.raises(EditsError, match=r"edits.sqlite are damaged: .*put back a copy"):
        opened(kept)


def test_a_damaged_database_is_refused(folder):
    edits = opened(folder)
    edits.add_many(
        [{"subject": f"S{n}", "prompt": "{} is", "old": "a", "new": "b" * 50} for n in range(500)]
    )
    path = folder / "edits.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(EditsError, match="damaged"):
        opened(folder)


def test_what_is_damaged_while_it_is_open_is_said_so(kept):
    edits = opened(kept)
    opened(kept).add("Ada", "{} makes", "bread", "paper")  # what was read before is read again
    content = bytearray((kept / "edits.sqlite").read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    with (kept / "edits.sqlite").open("rb+") as file:  # the same file, not another one
        file.write(content)

    for call in (edits.history, lambda: edits.list(0), lambda: edits.remove("1")):
        with pytest.raises(EditsError, match=r"damaged|cannot be"):
            call()


def test_in_a_folder_that_is_gone_nothing_can_be_added(kept):
    edits = opened(kept)
    shutil.rmtree(kept)

    with pytest.raises(EditsError, match="is gone"):
        edits.add("Ada", "{} makes", "bread", "paper")
    assert len(edits) == 3


def test_inside_a_folder_of_edits_no_others_are_saved(kept, edits, folder):
    with pytest.raises(EditsError, match="save to a folder outside of it"):
        edits.save(folder / "copy")

    assert not (folder / "copy").exists()


def test_where_nothing_can_be_written_edits_are_found_all_the_same(
    embedder, facts, folder, monkeypatch
):
    opened(folder, embedder=embedder).add_many(facts)
    next(folder.glob("vectors-*")).unlink()
    reader = opened(folder, embedder=embedder)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("diekae_rag.editing.vectors.new_file", refuse)

    assert [match.edit.new for match in reader.find("Where was Drola Brenk born?")] == ["Kolwick"]
    with pytest.raises(EditsError, match="cannot be written"):
        reader.add("Ilma Bresk", "{} keeps a", "dog", "cat")


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path, edits):
    (tmp_path / "notes.txt").write_text("mine")

    for refused in (edits.open, edits.save):
        with pytest.raises(EditsError, match=r"holds 'notes.txt'"):
            refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_is_not_there_is_not_loaded(edits, folder):
    with pytest.raises(EditsError, match="holds no edits"):
        edits.load(folder)
    with pytest.raises(EditsError, match="holds no edits"):
        edits.open(folder, create=False)
    assert not folder.exists()


def test_another_embedder_is_refused_with_what_to_do(kept):
    for other in (Hashing("others", "xyzqk"), Hashing("others", "nshtlmuioa")):
        with pytest.raises(EditsError, match=r"embedder 'letters', this is 'others'.*reembed=True"):
            opened(kept, embedder=other)
    assert len(opened(kept, embedder=Hashing("another name"))) == 3


def test_an_embedder_that_only_has_the_name_is_found_out(kept):
    edits = opened(kept, embedder=Hashing(letters="nshtlmuioa"))

    with pytest.raises(EditsError, match="another embedder than 'letters'"):
        edits.add("Ada", "{} is", "a", "b")


def test_with_reembed_another_embedder_takes_over_for_everybody(kept):
    theirs = opened(kept)
    mine = opened(kept, embedder=Hashing("others", "xyzqk"), reembed=True)

    assert len(mine) == len(opened(kept, embedder=Hashing("others", "xyzqk"))) == 3
    assert mine.find("Drola Brenk was born in")[0].score == 1.0
    with pytest.raises(EditsError, match="others"):
        theirs.find("Drola Brenk was born in")

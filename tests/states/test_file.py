"""A file of states: what is found in it is what was put in, whatever happened to it."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from diekae_rag.states.coding import StateCode
from diekae_rag.states.file import StateFile, StatesError, Stored
from diekae_rag.states.records import HEAD_BYTES, RECORD_BYTES

CODE = StateCode(2, 3, 4, "float32")


def item(passage: str, text: str | None = None, num_tokens: int = 5) -> Stored:
    """A passage whose ids and states follow from its text."""
    text = f"text of {passage}" if text is None else text
    seed = sum(map(ord, text))
    states = torch.randn(2, 2, 3, num_tokens, 4, generator=torch.Generator().manual_seed(seed))
    return Stored(passage, text, list(range(seed, seed + num_tokens)), states)


def holds(file: StateFile, *items: Stored) -> bool:
    found = [file.find(each.text, each.ids) for each in items]
    return all(
        states is not None and torch.equal(states, each.states)
        for states, each in zip(found, items, strict=True)
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "passages.states"


@pytest.fixture
def file(path):
    return StateFile(path, "ours", CODE)


def test_what_was_added_is_found_here_and_by_the_next_who_opens_it(file, path):
    items = [item(name, num_tokens=n) for name, n in (("a", 1), ("b", 16), ("c", 70))]

    file.append(items)

    assert len(file) == 3
    assert holds(file, *items)
    assert holds(StateFile(path, "ours", CODE), *items)


def test_a_text_is_not_found_as_other_tokens(file):
    own = item("a")
    file.append([own])

    assert file.find(own.text, [*own.ids[:-1], 0]) is None
    assert file.find(own.text, own.ids[:-1]) is None
    assert file.find("another", own.ids) is None


def test_the_same_text_is_written_once_and_stays_until_its_last_passage_goes(file, path):
    first, second = item("a", "same"), item("b", "same")
    file.append([first])
    size = file.num_bytes

    file.append([second])
    assert file.num_bytes == size + RECORD_BYTES

    file.remove(["a"])
    assert holds(StateFile(path, "ours", CODE), second)
    file.remove(["b"])
    assert file.find("same", second.ids) is None
    assert StateFile(path, "ours", CODE).find("same", second.ids) is None


def test_a_passage_with_a_new_text_takes_the_place_of_its_old_one(file):
    old, new = item("a", "old"), item("a", "new")
    file.append([old])

    file.append([new])

    assert len(file) == 1
    assert holds(file, new)
    assert file.find("old", old.ids) is None


def test_adding_again_writes_nothing(file):
    file.append([item("a")])
    size = file.num_bytes

    file.append([item("a")])

    assert file.num_bytes == size


def test_compacting_leaves_what_is_there_and_nothing_else(file, path):
    kept, gone = [item("a", "same"), item("b", "same"), item("c")], item("d", num_tokens=99)
    file.append([*kept, gone])
    view = file.find(kept[0].text, kept[0].ids)
    other = StateFile(path, "ours", CODE)

    file.remove(["d"])
    file.compact()
    other.refresh()

    assert file.num_bytes == file.live_bytes + RECORD_BYTES == path.stat().st_size
    assert holds(file, *kept)
    assert holds(other, *kept)
    assert torch.equal(view, kept[0].states)
    file.append([item("e")])
    assert holds(StateFile(path, "ours", CODE), *kept, item("e"))


def test_keeping_only_some_forgets_the_rest(file):
    file.append([item("a"), item("b"), item("c")])

    file.keep_only({"b", "x"})

    assert len(file) == 1
    assert file.has("b", "text of b")


def test_states_of_other_encoders_are_refused_with_what_to_do(file, path):
    with pytest.raises(StatesError, match=r"of the encoders ours, and these are theirs.*--rebuild"):
        StateFile(path, "theirs", CODE)


def test_another_precision_is_refused_with_what_to_do(file, path):
    with pytest.raises(StatesError, match="as float32, and int8 was asked for"):
        StateFile(path, "ours", StateCode(2, 3, 4, "int8"))


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 9999])
def test_what_is_no_file_of_states_is_refused_and_left_alone(path, content):
    path.write_bytes(content)

    with pytest.raises(StatesError, match="is no file of passage states"):
        StateFile(path, "ours", CODE)
    assert path.read_bytes() == content


def test_a_newer_format_is_refused(file, path):
    raw = bytearray(path.read_bytes())
    raw[8] = 9
    path.write_bytes(raw)

    with pytest.raises(StatesError, match="format 9, this diekae_rag reads 1"):
        StateFile(path, "ours", CODE)


def test_a_damaged_head_is_refused(file, path):
    raw = bytearray(path.read_bytes())
    raw[30] ^= 1
    path.write_bytes(raw)

    with pytest.raises(StatesError, match=r"head of .* is damaged"):
        StateFile(path, "ours", CODE)


@pytest.mark.filterwarnings("ignore:.*interrupted")
def test_cut_off_anywhere_it_gives_what_is_whole_and_takes_more(path):
    items = [item("a"), item("b"), item("c")]
    file = StateFile(path, "ours", CODE)
    ends = [HEAD_BYTES]
    for each in items:
        file.append([each])
        ends.append(file.num_bytes)
    whole = path.read_bytes()

    for length in range(HEAD_BYTES, len(whole), 41):
        path.write_bytes(whole[:length])
        again = StateFile(path, "ours", CODE)
        count = sum(end <= length for end in ends[1:])
        assert holds(again, *items[:count])
        assert len(again) == count
        again.append([item("d")])
        assert holds(StateFile(path, "ours", CODE), *items[:count], item("d"))


def test_that_something_is_cut_off_is_said(file, path):
    file.append([item("a")])
    path.write_bytes(path.read_bytes() + b"half")

    with pytest.warns(UserWarning, match="ends in 4 bytes of a passage whose writing was inter"):
        StateFile(path, "ours", CODE).append([item("b")])


@pytest.mark.filterwarnings("ignore:.*damaged")
def test_whatever_byte_is_damaged_no_wrong_states_come_out_and_adding_mends_it(path):
    items = [item("a"), item("b"), item("c")]
    StateFile(path, "ours", CODE).append(items)
    whole = path.read_bytes()

    for at in range(HEAD_BYTES, len(whole), 29):
        raw = bytearray(whole)
        raw[at] ^= 0x55
        path.write_bytes(raw)
        file = StateFile(path, "ours", CODE)
        found = [file.find(each.text, each.ids) for each in items]
        assert sum(states is None for states in found) <= 1
        for states, each in zip(found, items, strict=True):
            assert states is None or torch.equal(states, each.states)
        file.append(items)
        assert holds(file, *items)
        assert holds(StateFile(path, "ours", CODE), *items)


def test_two_who_have_it_open_see_what_the_other_wrote(path):
    first, second = StateFile(path, "ours", CODE), StateFile(path, "ours", CODE)

    first.append([item("a")])
    second.append([item("b")])
    first.append([item("c")])
    second.refresh()

    assert holds(first, item("a"), item("b"), item("c"))
    assert holds(second, item("a"), item("b"), item("c"))


def _write_some(path, names):
    file = StateFile(path, "ours", CODE)
    for name in names:
        file.append([item(name)])


def test_processes_that_write_at_once_lose_nothing(file, path):
    names = [[f"{who}{n}" for n in range(20)] for who in "ab"]
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_write_some, args=(path, some)) for some in names]
    for other in others:
        other.start()
    for other in others:
        other.join(60)

    assert [other.exitcode for other in others] == [0, 0]
    assert holds(StateFile(path, "ours", CODE), *(item(name) for some in names for name in some))


def _write_on(path):
    file, number = StateFile(path, "ours", CODE), 0
    while True:
        file.append([item(f"{number}", num_tokens=400)])
        number += 1


@pytest.mark.filterwarnings("ignore:.*interrupted")
def test_killed_while_writing_it_opens_and_takes_more(path):
    StateFile(path, "ours", CODE)
    other = multiprocessing.get_context("fork").Process(target=_write_on, args=(path,))
    other.start()
    deadline = time.monotonic() + 30
    while path.stat().st_size < 200_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(other.pid, signal.SIGKILL)
    other.join(30)

    file = StateFile(path, "ours", CODE)
    count = len(file)
    assert count > 1
    assert holds(file, *(item(f"{n}", num_tokens=400) for n in range(count)))
    file.append([item("more")])
    assert holds(StateFile(path, "ours", CODE), item("more"))


def test_a_full_disk_is_an_error_that_loses_nothing(file, path, monkeypatch):
    file.append([item("a")])
    write, calls = os.write, []

    def full(descriptor, raw):
        calls.append(len(raw))
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(raw[:100]))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StatesError, match=r"No space left.*what was kept before is there"):
        file.append([item("b")])
    monkeypatch.undo()

    assert path.stat().st_size == file.num_bytes
    assert holds(file, item("a"))
    file.append([item("b")])
    assert holds(StateFile(path, "ours", CODE), item("a"), item("b"))

"""A public file that is not as it should be: the error names it and what is wrong."""

from __future__ import annotations

import json
import zipfile

import pytest

from diekae_rag.data import RecordError
from diekae_rag.data.sets import load_set

FILM = {"0": {"movieName": "The Owl"}, "1": "a", "2": "b", "3": "c", "wikiDocumentIdx": 7}
CONVERSATION = {
    "status": 1,
    "rating": 3,
    "whoSawDoc": ["user2"],
    "wikiDocumentIdx": 7,
    "history": [
        {"docIdx": 0, "uid": "user1", "text": "Which film is it?"},
        {"docIdx": 0, "uid": "user2", "text": "The Owl."},
    ],
}


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, json.dumps(content))
    return path


def cmu_dog(path, *conversations):
    rows = {f"x/Conversations/test/test{n}.json": row for n, row in enumerate(conversations)}
    return zipped(path / "master.zip", {"x/WikiData/The_Owl.json": FILM, **rows})


def without(row, *path):
    """The row, as JSON gives it, without one field."""
    row = json.loads(json.dumps(row))
    held = row
    for key in path[:-1]:
        held = held[key]
    del held[path[-1]]
    return row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without(CONVERSATION, "rating"), "no field 'rating'"),
        (without(CONVERSATION, "history", 1, "uid"), r"no field 'history\[1\]\.uid'"),
        ({**CONVERSATION, "rating": "3"}, "'rating' is '3', not a number"),
        ({**CONVERSATION, "rating": True}, "'rating' is True, not a number"),
        ({**CONVERSATION, "history": {}}, "'history' is an object, not a list"),
        ({**CONVERSATION, "history": [[]]}, r"'history\[0\]' is a list, not an object"),
        ({**CONVERSATION, "wikiDocumentIdx": 8}, "'wikiDocumentIdx' is 8, not the number of a"),
        ({**CONVERSATION, "whoSawDoc": [1]}, r"'whoSawDoc\[0\]' is 1, not a text"),
        ([], "record is a list, not an object"),
    ],
)
def test_a_malformed_record_is_named_by_file_and_field(tmp_path, row, message):
    path = cmu_dog(tmp_path, CONVERSATION, row)

    with pytest.raises(RecordError, match=rf"master\.zip, .*test1\.json: .*{message}"):
        load_set("cmu_dog", "test", source=path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"premises": ["a"], "label": "True"}', "no field 'conclusion'"),
        ('{"premises": "a", "conclusion": "b", "label": "True"}', "'premises' is 'a', not a list"),
        ('{"premises": [], "conclusion": "b", "label": "Yes"}', "'label' is 'Yes', not one of"),
        ("{", "not JSON"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path, line, message):
    good = '{"premises": ["a"], "conclusion": "b", "label": "True"}'
    (tmp_path / "folio-train.jsonl").write_text(f"{good}\n\n{line}\n")

    with pytest.raises(RecordError, match=rf"folio-train\.jsonl, line 3: .*{message}"):
        load_set("folio", "train", source=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("{}", "must be a list"),
        ("[]", "no record to keep"),
        ("[1]", "item 1: the record is 1, not a list"),
        ("[{", "item 1: not JSON"),
        ('[[["a"], [{"question": "q", "answer": "a"}], "1"]', "item 1: .*neither a comma nor"),
        ('[[["a"], [{"question": "q", "answer": "a"}]][', "item 1: .*neither a comma nor"),
        ('[[["a"], [{"question": "q", "answer": "a"}]]] x', "item 1: .*neither a comma nor"),
        ('[[["a"], [{"question": "q", "answer": "a"}], "1"],', "item 2: not JSON"),
        ('[[["a"], [{"question": "q"}], "1"]]', r"item 1: there is no field '\[1\]\[0\]\.answer'"),
        ('[[["a"], [], "1"]]', r"item 1: there is no field '\[1\]\[0\]'"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, content, message):
    (tmp_path / "train.json").write_text(content)

    with pytest.raises(RecordError, match=rf"train\.json.*{message}"):
        load_set("dream", "train", source=tmp_path)


@pytest.mark.parametrize("content", [b"PK no archive", b"\x1f\x8b cut"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cmu_dog", "master.zip"),
        ("proofwriter", "proofwriter-dataset-V2020.12.3.zip"),
        ("wizard_of_wikipedia", "wizard_of_wikipedia.tgz"),
        ("folio", "folio-train.jsonl"),
    ],
)
def test_what_is_no_archive_or_text_is_a_clear_error(tmp_path, name, file, content):
    (tmp_path / file).write_bytes(content if name != "folio" else b"\xff" + content)

    with pytest.raises(RecordError, match=f"{file} cannot be read"):
        load_set(name, "train", source=tmp_path)


@pytest.mark.parametrize("name", ["proofwriter", "cmu_dog"])
def test_an_archive_of_something_else_is_a_clear_error(tmp_path, name):
    path = zipped(tmp_path / "other.zip", {"a.txt": "x"})

    with pytest.raises(RecordError, match=r"other\.zip"):
        load_set(name, "train", source=path)


def test_an_archive_that_names_paths_outside_itself_writes_nothing(tmp_path):
    path = zipped(
        tmp_path / "master.zip",
        {"../../Conversations/test/../../evil.json": CONVERSATION, "../WikiData/f.json": FILM},
    )
    before = sorted(tmp_path.parent.rglob("*"))

    with pytest.raises(RecordError):
        load_set("cmu_dog", "test", source=path)

    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_folder_without_the_file_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folio-train\.jsonl; source= must hold"):
        load_set("folio", "train", source=tmp_path)


def test_one_file_for_a_set_that_needs_two_is_refused(tmp_path):
    for name in ("fact_db_links.json", "curiosity_dialogs.val.json"):
        (tmp_path / name).write_text("{}")
    path = tmp_path / "fact_db_links.json"

    with pytest.raises(ValueError, match="must be the folder that holds them"):
        load_set("curiosity", "valid", source=path)
    with pytest.raises(ValueError, match="must be the folder that holds them"):
        load_set("curiosity", "valid", source=(tmp_path / "curiosity_dialogs.val.json").as_uri())

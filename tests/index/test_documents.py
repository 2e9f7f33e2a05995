"""What reading a folder promises: everything readable is read, the rest is named."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.index import PassageIndex, SkippedFile, read_documents
from diekae_rag.index.documents import _split, _splitter


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.txt").write_text("Ada lives in Turin.\n\nOlo lives in Brint.", encoding="utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.md").write_text("# Turin\n\nA town.", encoding="utf-8")
    return tmp_path


def read(folder, **options):
    return read_documents(folder, show_progress=False, **options)


def test_files_are_read_in_the_order_of_their_paths(folder):
    passages, skipped = read(folder)

    assert [passage.metadata["source"] for passage in passages] == ["a/z.md", "b.txt"]
    assert skipped == []


def test_a_long_text_is_split_and_each_passage_says_where_it_starts(folder):
    text = (folder / "b.txt").read_text(encoding="utf-8")

    passages = [p for p in read(folder, chunk_size=25, chunk_overlap=5).passages if len(p.text) > 9]

    assert [p.text for p in passages[1:]] == ["Ada lives in Turin.", "Olo lives in Brint."]
    assert [text[p.metadata["start"] :][: len(p.text)] for p in passages[1:]] == [
        p.text for p in passages[1:]
    ]


repetitive = st.text(st.sampled_from("ab \n.é\U0001f600"), min_size=1, max_size=300)


@given(text=repetitive, chunk_size=st.integers(5, 60), chunk_overlap=st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_no_passage_is_too_long_or_misplaced(text, chunk_size, chunk_overlap):
    passages = list(_split("a.txt", text, _splitter(chunk_size, chunk_overlap)))

    assert all(len(p.text) <= chunk_size for p in passages)
    assert all(text.startswith(p.text, p.metadata["start"]) for p in passages)


@given(text=repetitive, chunk_size=st.integers(5, 60))
@settings(max_examples=60, deadline=None)
def test_splitting_loses_nothing_but_spaces(text, chunk_size):
    passages = list(_split("a.txt", text, _splitter(chunk_size, 0)))

    assert "".join("".join(p.text for p in passages).split()) == "".join(text.split())


def test_a_record_is_one_passage_with_its_other_keys_as_metadata(tmp_path):
    record = {"text": "Ada.\u2028" * 300, "id": 7, "year": 1990, "metadata": {"source": "census"}}
    line = json.dumps(record, ensure_ascii=False)
    (tmp_path / "a.jsonl").write_text(f"\n{line}\n", encoding="utf-8")

    (passage,) = read(tmp_path).passages

    assert passage.text == record["text"]
    assert passage.id == "7"
    assert passage.metadata == {"source": "census", "start": 2, "year": 1990}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is no record"),
        ('{"title": "no text"}', "is no record"),
        ('{"text": 3}', "is no record"),
        ('{"text": " "}', "blank"),
        ('{"text": "a", "id": []}', "neither a string nor an integer"),
        ('{"text": "a", "id": "\\ud800"}', "cannot be encoded"),
        ('{"text": "a", "score": NaN}', "cannot be stored"),
        ('{"text": "a", "score": 1e999}', "cannot be stored"),
    ],
)
def test_a_line_that_is_no_record_is_reported_and_the_others_are_read(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "first"}\n' + line + '\n{"text": "third"}\n', encoding="utf-8")

    passages, (skipped,) = read(tmp_path)

    assert [passage.text for passage in passages] == ["first", "third"]
    assert skipped.path == path
    assert skipped.reason.startswith("line 2 ")
    assert reason in skipped.reason


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("latin.txt", "café".encode("latin-1"), "not UTF-8 (byte 0xe9 at 3)"),
        ("wide.md", "café".encode("utf-16"), "not UTF-8"),
        ("zeros.txt", b"text\0text", "binary"),
        ("blank.txt", b" \n ", "empty"),
        ("picture.png", b"\x89PNG", "not a .jsonl, .md, .txt file"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported_and_skipped(folder, name, content, reason):
    (folder / name).write_bytes(content)

    passages, (skipped,) = read(folder)

    assert len(passages) == 2
    assert skipped.path == folder / name
    assert reason in skipped.reason


def test_links_to_nothing_and_pipes_are_reported(folder):
    (folder / "dead.txt").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.txt")

    skipped = read(folder).skipped

    assert skipped == [
        SkippedFile(folder / "dead.txt", "a link to nothing"),
        SkippedFile(folder / "pipe.txt", "not a regular file"),
    ]


def test_a_folder_that_links_to_itself_is_read_once(folder):
    (folder / "a" / "again").symlink_to(folder, target_is_directory=True)

    assert len(read(folder).passages) == 2


def test_hidden_files_and_folders_are_not_looked_at(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "notes.txt").write_text("hidden")
    (folder / ".draft.txt").write_text("hidden")

    assert len(read(folder).passages) == 2
    assert read(folder).skipped == []


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(tmp_path):
    (tmp_path / "a.TXT").write_bytes(b"\xef\xbb\xbfone\r\ntwo")

    (passage,) = read(tmp_path).passages

    assert passage.text == "one\ntwo"
    assert passage.metadata["start"] == 0


def test_the_same_words_in_two_files_are_two_passages(tmp_path):
    (tmp_path / "a.txt").write_text("same")
    (tmp_path / "b.txt").write_text("same")

    first, second = read(tmp_path).passages

    assert first.id != second.id
    assert [p.id for p in read(tmp_path).passages] == [first.id, second.id]


def test_a_record_with_the_id_of_an_earlier_one_is_reported(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "Ada."}\n{"id": "1", "text": "Olo."}\n')
    (tmp_path / "b.jsonl").write_text('{"id": 1, "text": "Ilma."}\n{"id": 2, "text": "Bo."}\n')

    found, skipped = read_documents(tmp_path, show_progress=False)

    assert [passage.text for passage in found] == ["Ada.", "Bo."]
    assert [path.name for path, _ in skipped] == ["a.jsonl", "b.jsonl"]
    assert all("the id '1' of an earlier record" in reason for _, reason in skipped)


def test_what_was_read_can_be_indexed_and_filtered_by_file(folder, embedder):
    (folder / "c.jsonl").write_text('{"text": "\\ud800 Ada", "tags": ["x"]}')

    index = PassageIndex.build(read(folder).passages, embedder)

    (found,) = index.search("Ada", filter={"source": "c.jsonl"})
    assert found.text == "\ufffd Ada"


def test_a_missing_folder_a_file_and_an_empty_folder_are_clear_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / "a.pdf").write_bytes(b"%PDF")

    with pytest.raises(FileNotFoundError, match="there is no folder"):
        read(folder / "missing")
    with pytest.raises(NotADirectoryError, match="pass the folder"):
        read(folder / "b.txt")
    with pytest.raises(ValueError, match="nothing to read"):
        read(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"skipped 1, for example a\.pdf: not a"):
        read(tmp_path / "unread")


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, -1)])
def test_sizes_that_cannot_split_are_refused(folder, size, overlap):
    with pytest.raises(ValueError, match="cannot split"):
        read(folder, chunk_size=size, chunk_overlap=overlap)


def test_progress_is_drawn_on_stderr_and_can_be_turned_off(folder, capsys):
    read(folder)
    silent = capsys.readouterr()
    read_documents(folder)
    drawn = capsys.readouterr()

    assert silent.err == silent.out == drawn.out == ""
    assert "Reading documents" in drawn.err

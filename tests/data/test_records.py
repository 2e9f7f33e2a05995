"""A user's own examples: every form gives the same records, and a bad one is named."""

from __future__ import annotations

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.data import Record, RecordError, read_records

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FILLED = TEXT.filter(str.strip)
ROWS = st.lists(
    st.fixed_dictionaries({"prompt": FILLED, "answer": FILLED, "passages": st.lists(FILLED)}),
    min_size=1,
    max_size=4,
)


def records_of(rows):
    return [Record(r["prompt"], r["answer"], tuple(r["passages"]), (r["answer"],)) for r in rows]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_json_lines_give_back_what_was_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("records")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    with gzip.open(folder / "a.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(text)

    assert read_records(folder / "a.jsonl") == records_of(rows)
    assert read_records(folder / "a.jsonl.gz") == records_of(rows)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_comma_separated_values_give_back_what_was_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["prompt", "answer", "passages"])
        writer.writeheader()
        writer.writerows({**row, "passages": json.dumps(row["passages"])} for row in rows)

    assert read_records(path) == records_of(rows)


def test_parquet_gives_back_what_was_written(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"prompt": "Who?", "answer": "Ada", "passages": ["Ada did.", "So."]}] * 2
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")

    assert read_records(tmp_path / "a.parquet") == records_of(rows)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"query": "Who?", "answer": "Ada"}, Record("Who?", "Ada", (), ("Ada",))),
        ({"question": "Who?", "answers": ["A", "B"]}, Record("Who?", "A", (), ("A", "B"))),
        (
            {"prompt": "Who?", "answer": "B", "answers": ["A"], "knowledge": ["x", " "]},
            Record("Who?", "B", ("x",), ("B", "A")),
        ),
        ({"prompt": "Who?", "answer": "A", "documents": "x"}, Record("Who?", "A", ("x",), ("A",))),
        ({"prompt": "Who?", "answer": "A", "id": 3}, Record("Who?", "A", (), ("A",))),
    ],
)
def test_fields_may_go_by_several_names(tmp_path, row, expected):
    (tmp_path / "a.jsonl").write_text(json.dumps(row))

    assert read_records(tmp_path / "a.jsonl") == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"answer": "a"}', r"'prompt' or 'query' or 'question'; it has \['answer'\]"),
        ('{"prompt": "p"}', "no 'answer'"),
        ('{"prompt": " ", "answer": "a"}', "'prompt' is blank"),
        ('{"prompt": 3, "answer": "a"}', "'prompt' is a int"),
        ('{"prompt": "p", "answer": ""}', "'answer' is blank"),
        ('{"prompt": "p", "answer": "a", "passages": 5}', "'passages' must be a list of texts"),
        ('{"prompt": "p", "answer": "a", "passages": [5]}', "'passages' must be a list of texts"),
        ('["prompt"]', "a list, not a record"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_malformed_record_is_named_by_file_line_and_field(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "p", "answer": "a"}\n\n' + line + "\n")

    with pytest.raises(RecordError, match=rf"a\.jsonl, line 3.*{message}"):
        read_records(path)


def test_a_row_with_too_few_fields_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("prompt,answer\nWho?,Ada\nWho?\n")

    with pytest.raises(RecordError, match=r"a\.csv, line 3: not as many fields"):
        read_records(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b""),
        ("a.jsonl", b"\xff\xfe{}"),
        ("a.jsonl.gz", b"no gzip"),
        ("a.csv", b"\xff"),
        ("a.txt", b"prompt"),
    ],
)
def test_a_file_that_holds_no_records_is_a_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(RecordError, match=name):
        read_records(tmp_path / name)


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_records(tmp_path / "a.jsonl")

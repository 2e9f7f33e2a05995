"""diekae edit: facts changed in a folder, from one command to the next."""

import json

import pytest

BORN = ("Ada", "{} lives in", "Rome", "Turin")


@pytest.fixture
def folder(tmp_path, run):
    folder = tmp_path / "edits"
    assert run("edit", "add", folder, *BORN).exit_code == 0
    return folder


def test_what_was_added_is_listed_removed_and_brought_back(folder, run, only_json):
    added = only_json(run("edit", "add", folder, "Bob", "{} keeps a", "cat", "goat", "--json"))
    assert added["version"] == 2
    assert added["edits"][0]["prompt"] == "Bob keeps a"

    removed = only_json(run("edit", "remove", folder, 1, "--json"))
    assert [edit["subject"] for edit in removed["edits"]] == ["Ada"]
    assert "Bob keeps a goat (was: cat)" in run("edit", "list", folder).stdout
    earlier = only_json(run("edit", "list", folder, "--version", 1, "--json"))
    assert [edit["subject"] for edit in earlier["edits"]] == ["Ada"]

    back = only_json(run("edit", "rollback", folder, 2, "--json"))
    assert [edit["subject"] for edit in back["edits"]] == ["Ada", "Bob"]
    assert only_json(run("edit", "clear", folder, "--json")) == {"version": 5, "edits": []}
    changes = only_json(run("edit", "history", folder, "--json"))
    assert [change["version"] for change in changes] == [1, 2, 3, 4, 5]
    assert "rolled back to version 2" in run("edit", "history", folder).stdout


def test_an_edit_that_counts_instead_of_another_says_so(folder, run):
    result = run("edit", "add", folder, *BORN[:3], "Oltun")

    assert "edit 2 counts instead of edit 1" in result.stderr


def test_a_file_is_added_whole_or_not_at_all_and_written_again(folder, run, only_json, tmp_path):
    file, copy = tmp_path / "more.jsonl", tmp_path / "copy.jsonl"
    rows = [{"subject": "Bob", "prompt": "{} keeps a", "old": "cat", "new": "goat"}]
    file.write_text("\n".join(map(json.dumps, [*rows, {**rows[0], "new": ""}])))
    refused = run("edit", "add-many", folder, file)
    assert refused.exit_code == 1
    assert "line 2" in refused.stderr
    file.write_text(json.dumps(rows[0]))

    assert only_json(run("edit", "add-many", folder, file, "--json"))["version"] == 2
    assert only_json(run("edit", "export", folder, copy, "--json"))["edits"] == 2
    assert json.loads(copy.read_text().splitlines()[1]) == {**rows[0], "prompt": "Bob keeps a"}


@pytest.mark.parametrize(
    "command", [("list",), ("history",), ("remove", 1), ("rollback", 0), ("clear",)]
)
def test_a_folder_without_edits_is_an_error_and_is_not_made(command, run, tmp_path):
    result = run("edit", command[0], tmp_path / "none", *command[1:])

    assert result.exit_code == 1
    assert "holds no edits" in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("add", "Ada", "Bob lives in", "a", "b"), "does not name the subject"),
        (("remove", "9"), "no edit '9'"),
        (("rollback", "9"), "no version 9"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(folder, run, command, said):
    result = run("edit", command[0], folder, *command[1:])

    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split())


def test_a_question_is_answered_with_the_edits_it_means(folder, run, only_json, model_folder):
    ask = ("edit", "ask", folder, "Where does Ada live?", "--model", model_folder)
    answer = only_json(run(*ask, "--json"))

    assert [edit["new"] for edit in answer["edits"]] == ["Turin"]
    assert answer["usage"]["knowledge_tokens"] > 0
    assert "Ada lives in Turin (was: Rome)" in run(*ask).stderr
    other = only_json(run(*ask[:3], "Where does Bob live?", *ask[4:], "--json"))
    assert other["edits"] == []


def test_edits_hold_for_questions_to_an_index(folder, run, only_json, index_folder, model_folder):
    ask = ("ask", index_folder, "Where does Ada live?", "--model", model_folder, "--json")
    plain = only_json(run(*ask))
    edited = only_json(run(*ask, "--edits", folder))

    assert plain["edits"] == []
    assert [edit["new"] for edit in edited["edits"]] == ["Turin"]
    assert [p["id"] for p in edited["passages"]] == [
        "edit-1",
        *[p["id"] for p in plain["passages"]],
    ]


def test_edits_are_written_into_weights_and_out_of_them(
    folder, run, only_json, model_folder, tmp_path
):
    texts = tmp_path / "keep.txt"
    texts.write_text("Bob lives in\n\n")
    ask = ("edit", "ask", folder, "Ada lives in", "--model", model_folder, "--json")
    write = ("edit", "write", folder, "--model", model_folder, "--steps", 2, "--keep", texts)
    read = only_json(run(*ask))

    assert only_json(run(*write, "--json"))["edits"] == 1
    assert "in weights: 1" in run("edit", "list", folder).stderr
    written = only_json(run(*ask))
    assert written["edits"] == read["edits"]
    assert written["usage"]["knowledge_tokens"] == 0 < read["usage"]["knowledge_tokens"]

    assert "read as passages: 1" in run("edit", "unwrite", folder).stdout
    again = only_json(run(*ask))
    assert again["answer"] == read["answer"]
    assert again["usage"]["knowledge_tokens"] == read["usage"]["knowledge_tokens"]


def test_examples_teach_other_words(folder, run, only_json, model_folder, tmp_path):
    said = {
        "home": ["{} lives in", "The home of {} is"],
        "trade": ["{} works as a", "By trade {} is a"],
    }
    rows = [
        {
            "subject": name,
            "prompt": templates[number % 2],
            "relation": relation,
            "paraphrase_prompts": [templates[(number + 1) % 2].replace("{}", name)],
        }
        for relation, templates in said.items()
        for number, name in enumerate(f"Nell {letter}ann" for letter in "BCDFGHKLMN")
    ]
    file = tmp_path / "examples.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))

    learned = only_json(run("edit", "calibrate", folder, file, "--json"))
    assert 0 <= learned["false_share"] <= learned["recall"] <= 1
    assert "other wordings" in run("edit", "calibrate", folder, file).stdout
    write = ("edit", "write", folder, "--model", model_folder, "--steps", 1, "--examples", file)
    assert only_json(run(*write, "--json"))["edits"] == 1

    file.write_text(json.dumps(rows[0]) + "\n[1]")
    for command in (("edit", "calibrate", folder, file), write):
        assert "line 2 must be an object" in run(*command).stderr

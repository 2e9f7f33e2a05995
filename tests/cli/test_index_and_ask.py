import shutil

import pytest

from diekae_rag import PassageIndex

QUESTION = "Where does Ada live?"


def test_what_was_indexed_is_found(run, index_folder, model_folder, only_json):
    result = run("ask", index_folder, QUESTION, "--model", model_folder, "-k", 2, "--json")
    report = only_json(result)
    assert report["passages"][0]["metadata"]["source"] == "ada.txt"
    assert len(report["passages"]) == 2
    assert report["passages"][0]["score"] >= report["passages"][1]["score"]
    assert report["question"] == QUESTION
    assert isinstance(report["answer"], str)


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine", "none"])
def test_every_mode_says_what_it_cost(run, index_folder, model_folder, only_json, mode):
    result = run("ask", index_folder, QUESTION, "--model", model_folder, "--mode", mode, "--json")
    report = only_json(result)
    usage = report["usage"]
    assert report["mode"] == mode
    assert (usage["knowledge_tokens"] > 0) == (mode != "none")
    assert (usage["knowledge_tokens_kept_out"] > 0) == (mode == "inject")
    assert usage["retrieval_seconds"] >= 0


def test_injecting_reads_the_tokens_of_the_question_alone(
    run, index_folder, model_folder, only_json
):
    asked = ("ask", index_folder, QUESTION, "--model", model_folder, "--json", "--mode")
    read = {
        mode: only_json(run(*asked, mode))["usage"]["prompt_tokens"]
        for mode in ("inject", "stuff", "none")
    }
    assert read["inject"] == read["none"] < read["stuff"]


def test_the_passages_are_printed_when_asked_for(run, index_folder, model_folder):
    asked = ("ask", index_folder, QUESTION, "--model", model_folder)
    assert "Ada lives in Turin." in run(*asked, "--show-passages").stdout
    assert "Ada lives in Turin." not in run(*asked).stdout


def test_the_cost_is_not_part_of_the_answer(run, index_folder, model_folder):
    result = run("ask", index_folder, QUESTION, "--model", model_folder)
    assert "tokens read by the base model" in result.stderr
    assert "tokens read by the base model" not in result.stdout


def test_a_k_larger_than_the_index_finds_all_and_says_so(
    run, index_folder, model_folder, only_json
):
    result = run("ask", index_folder, QUESTION, "--model", model_folder, "-k", 50, "--json")
    assert len(only_json(result)["passages"]) == 3
    assert "holds only 3 of the 50" in result.stderr


def test_indexing_reports_as_json(run, documents, tmp_path, only_json):
    report = only_json(run("index", documents, tmp_path / "new", "--json"))
    assert (report["passages"], report["files"], report["skipped"]) == (3, 3, [])
    assert len(PassageIndex.load(tmp_path / "new")) == 3


def test_files_that_cannot_be_read_are_named_and_left_out(run, documents, tmp_path, only_json):
    (documents / "latin.txt").write_bytes(b"caf\xe9")
    (documents / "photo.png").write_bytes(b"\x89PNG\0")
    result = run("index", documents, tmp_path / "new", "--json")
    report = only_json(result)
    assert report["passages"] == 3
    assert {item["path"].rpartition("/")[2] for item in report["skipped"]} == {
        "latin.txt",
        "photo.png",
    }
    assert "latin.txt: not UTF-8" in result.stderr


def test_markup_and_control_characters_in_a_passage_only_print(
    run, documents, tmp_path, model_folder
):
    (documents / "ada.txt").write_text("[bold red]Ada[/] lives \x1b[2J in [/nowhere].")
    run("index", documents, tmp_path / "new")
    result = run(
        "ask", tmp_path / "new", QUESTION, "--model", model_folder, "--show-passages", "-k", 9
    )
    assert result.exit_code == 0
    assert "[bold red]Ada[/] lives \ufffd[2J in [/nowhere]." in result.stdout
    assert "\x1b[2J" not in result.stdout


def test_an_index_is_replaced_by_a_new_one(run, documents, index_folder):
    (documents / "bob.md").unlink()
    assert run("index", documents, index_folder).exit_code == 0
    assert len(PassageIndex.load(index_folder)) == 2


def test_a_moved_index_still_answers(run, index_folder, model_folder, tmp_path):
    shutil.move(index_folder, tmp_path / "elsewhere")
    assert run("ask", tmp_path / "elsewhere", QUESTION, "--model", model_folder).exit_code == 0


def test_shares_are_printed_beside_the_passages(run, index_folder, model_folder):
    asked = ("ask", index_folder, QUESTION, "--model", model_folder, "--max-new-tokens", 4)
    result = run(*asked, "--attribute")
    assert "Ada lives in Turin." in result.stdout
    assert result.stdout.count("contributed") == 3
    assert "nats)" in result.stdout
    assert "Attribution: " in result.stderr
    assert "contributed" not in run(*asked, "--show-passages").stdout


def test_shares_are_json_beside_the_passages(run, index_folder, model_folder, only_json):
    asked = ("ask", index_folder, QUESTION, "--model", model_folder, "--max-new-tokens", 4)
    report = only_json(run(*asked, "--attribute", "--json"))
    assert [set(p["attribution"]) for p in report["passages"]] == [{"nats", "share"}] * 3
    assert report["usage"]["attribution_tokens"] > 0


def test_without_passages_there_are_no_shares(run, index_folder):
    result = run("ask", index_folder, QUESTION, "--attribute", "--mode", "none")
    assert result.exit_code == 2
    assert "--mode none reads none" in result.stderr

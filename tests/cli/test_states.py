"""diekae states: what it keeps is used by diekae ask, and never another encoder's."""

import json

from diekae_rag.files import STATES_FILE
from tests.conftest import build_encoders

QUESTION = "Where does Ada live?"


def asked(run, only_json, index_folder, model_folder):
    return only_json(run("ask", index_folder, QUESTION, "--model", model_folder, "--json"))


def test_what_is_kept_is_not_read_again_and_answers_alike(
    run, only_json, index_folder, model_folder
):
    plain = asked(run, only_json, index_folder, model_folder)

    kept = only_json(run("states", index_folder, "--model", model_folder, "--json"))

    assert kept["passages"] == kept["read"] == 3
    again = asked(run, only_json, index_folder, model_folder)
    assert again["answer"] == plain["answer"]
    usage = again["usage"]
    assert usage["knowledge_tokens_from_kept_states"] == usage["knowledge_tokens"] > 0
    assert plain["usage"]["knowledge_tokens_from_kept_states"] == 0


def test_a_second_time_nothing_is_read(run, only_json, index_folder, model_folder):
    run("states", index_folder, "--model", model_folder)

    assert only_json(run("states", index_folder, "--model", model_folder, "--json"))["read"] == 0


def test_a_precision_is_kept_until_it_is_built_anew(run, index_folder, model_folder):
    command = ["states", index_folder, "--model", model_folder]

    assert "int8" in run(*command, "--dtype", "int8").stdout
    assert "int8" in run(*command).stdout
    refused = run(*command, "--dtype", "bfloat16")
    assert refused.exit_code == 1
    assert "--rebuild --dtype bfloat16" in refused.stderr.replace("\n", " ")
    assert "bfloat16" in run(*command, "--dtype", "bfloat16", "--rebuild").stdout


def test_states_of_other_encoders_are_not_used_and_that_is_said(
    run, only_json, index_folder, model_folder
):
    run("states", index_folder, "--model", model_folder)
    other = build_encoders(
        sharing="shared",
        passage_attention="independent",
        positions="all",
        max_passage_tokens=160,
        base_model_name_or_path="../reader",
        rope_theta=500.0,
    )
    other.save_pretrained(model_folder)

    result = run("ask", index_folder, QUESTION, "--model", model_folder, "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["usage"]["knowledge_tokens_from_kept_states"] == 0
    assert "--rebuild" in result.stderr
    assert run("states", index_folder, "--model", model_folder).exit_code == 1
    assert run("states", index_folder, "--model", model_folder, "--rebuild").exit_code == 0
    usage = asked(run, only_json, index_folder, model_folder)["usage"]
    assert usage["knowledge_tokens_from_kept_states"] > 0


def test_indexing_again_brings_the_kept_states_along(
    run, only_json, index_folder, model_folder, documents
):
    run("states", index_folder, "--model", model_folder)
    (documents / "dan.txt").write_text("Dan has a boat.")

    assert run("index", documents, index_folder).exit_code == 0

    assert (index_folder / STATES_FILE).exists()
    kept = only_json(run("states", index_folder, "--model", model_folder, "--json"))
    assert (kept["passages"], kept["read"]) == (4, 1)

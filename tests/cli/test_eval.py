import json

import pytest


@pytest.fixture
def measure(run, model_folder):
    def measure(*more):
        small = ("--questions", 5, "--documents", 10, "--split-questions", 0)
        return run("eval", "--seed", 3, *small, "--model", model_folder, *more)

    return measure


def test_a_measurement_is_json_for_machines(measure, only_json):
    report = only_json(measure("--arm", "stuff", "--arm", "inject", "--json"))
    assert set(report["arms"]) == {"stuff", "inject"}
    assert report["arms"]["inject"]["n"] == 4
    assert (report["seed"], report["num_questions"], report["num_documents"]) == (3, 5, 10)


def test_a_measurement_is_a_table_for_people(measure):
    result = measure("--arm", "inject")
    assert result.exit_code == 0
    assert "World 3, 5 questions" in result.stdout


def test_attribution_is_measured_instead(run, model_folder, only_json):
    small = ("--seed", 3, "--questions", 5, "--documents", 10, "-k", 2, "--model", model_folder)
    report = only_json(run("eval", "--attribution", *small, "--json"))
    assert list(report["arms"]) == ["inject"]
    assert (report["seed"], report["k"], report["num_questions"]) == (3, 2, 5)


def test_attribution_of_an_arm_that_reads_no_passages_is_refused(run, model_folder):
    result = run("eval", "--attribution", "--arm", "none", "--model", model_folder)
    assert result.exit_code == 1
    assert "reads no passages" in result.stderr


def test_an_arm_without_encoders_is_named(measure):
    result = measure("--arm", "inject_distilled")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "--arm inject_distilled needs the encoders of that stage" in result.stderr


@pytest.fixture
def data(tmp_path):
    """Two files of records, and one to train heads on."""
    rows = {
        "pets": [("Who has a goat?", "Bob", ["Bob has a goat."]), ("Who sings?", "Ada", ["Ada."])],
        "towns": [("Where is Ada?", "Turin", ["Ada is in Turin."])],
        "claims": [("Is it?", "True", ["Yes."]), ("Is it?", "False", ["No."])],
    }
    for name, records in rows.items():
        lines = [
            json.dumps({"prompt": prompt, "answer": answer, "passages": passages})
            for prompt, answer, passages in records
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return {name: tmp_path / f"{name}.jsonl" for name in rows}


@pytest.fixture
def measure_data(run, model_folder):
    def measure(*more):
        return run("eval", "--max-new-tokens", 2, "--model", model_folder, *more)

    return measure


def test_own_records_are_measured_file_by_file(measure_data, data, only_json):
    both = ("--data", data["pets"], "--data", data["towns"])
    groups = only_json(measure_data(*both, "--arm", "inject", "--json"))["groups"]
    assert {name: report["num_records"] for name, report in groups.items()} == {
        "pets": 2,
        "towns": 1,
    }
    assert set(groups["pets"]["arms"]) == {"inject"}


def test_own_records_are_tables_for_people(measure_data, data, tmp_path):
    result = measure_data("--data", data["pets"], "--plots", tmp_path / "plots")
    assert result.exit_code == 0, result.stderr
    assert "pets: 2 records" in result.stdout
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "pets-quality.png",
        "pets-loss.png",
        "pets-tokens.png",
    }


def test_labels_add_what_scoring_and_heads_find(measure_data, data, only_json):
    reasoning = ("--labels", "True, False", "--train", data["claims"])
    result = measure_data("--data", data["claims"], *reasoning, "--arm", "stuff", "--json")
    report = only_json(result)["groups"]["claims"]["reasoning"]
    assert report["labels"] == ["True", "False"]
    assert report["arms"]["stuff"]["head"] == 1
    assert measure_data("--data", data["claims"], *reasoning, "--arm", "none").exit_code == 0


def test_an_answer_that_is_no_label_is_named_before_anything_is_measured(measure_data, data):
    result = measure_data("--data", data["pets"], "--labels", "Yes,No", "--train", data["pets"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "none of Yes, No" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "DATA", "--documents", 5), "--documents is about invented worlds"),
        (("--data", "DATA", "-k", 1), "-k is about invented worlds"),
        (("--data", "DATA", "--split-questions", 200), "--split-questions is about"),
        (("--records", 5), "--records is about records"),
        (("--timed", 0), "--timed is about records"),
        (("--plots", "folder"), "--plots is about records"),
        (("--labels", "a,b", "--train", "DATA"), "is about records"),
        (("--data", "DATA", "--labels", "a,b"), "belong together"),
        (("--data", "DATA", "--labels", "a,b", *["--train", "DATA"] * 2), "2 --train came with 1"),
        (("--data", "DATA", "--data", "DATA"), "both called pets"),
        (("--arm", "lora"), "--arm lora needs its weights"),
        (("--arm", "none", "--full", "folder"), "add --arm full"),
    ],
)
def test_options_that_mean_nothing_together_end_with_2(run, data, arguments, message):
    result = run("eval", *[data["pets"] if a == "DATA" else a for a in arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_tuned_weights_are_two_more_arms_on_worlds_too(measure, model_folder, only_json):
    folder = model_folder.parent / "reader"
    report = only_json(measure("--arm", "stuff", "--arm", "full", "--full", folder, "--json"))
    stuff, full = (report["arms"][name]["exact_match"] for name in ("stuff", "full"))
    assert stuff == full

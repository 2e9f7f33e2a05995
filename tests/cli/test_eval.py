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


def test_an_arm_without_encoders_is_named(measure):
    result = measure("--arm", "inject_distilled")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "inject_distilled is left out" in result.stderr

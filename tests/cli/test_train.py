"""``diekae train``: options make a plan, and a run that was begun needs none."""

from __future__ import annotations

import json

import pytest

from diekae_rag import DiekaeModel
from diekae_rag.data.records import read_records
from diekae_rag.demo.worlds import World
from diekae_rag.evaluation.cases import find_cases, index_world

SMALL = [
    option
    for field in (
        "hidden_size=16", "intermediate_size=32", "num_hidden_layers=1", "num_attention_heads=2",
    )
    for option in ("--field", field)
]  # fmt: skip


@pytest.fixture
def records(tmp_path):
    """A file of records."""
    rows = [
        {"prompt": f"Who is {n}?", "answer": f"Ada {n}", "passages": [f"{n} is Ada {n}."]}
        for n in range(5)
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def begin(run, records, base_folder, tmp_path):
    """Begins a run in ``tmp_path/run``; further options may be given."""

    def begin(*options, precision="no"):
        return run(
            "train", tmp_path / "run", "--base", base_folder, "--data", records,
            "--batch-size", 2, "--precision", precision, *SMALL, *options,
        )  # fmt: skip

    return begin


def plan(tmp_path):
    return json.loads((tmp_path / "run/plan.json").read_text())


def test_options_become_a_plan_and_a_run_that_answers(begin, only_json, tmp_path):
    result = begin("--stages", "warmup,finetune", "--steps", 2, "--layers", "1-2,3", "--json")

    assert list(only_json(result)["seconds"]) == ["warmup", "finetune"]
    assert plan(tmp_path)["encoders"]["layers"] == [1, 2, 3]
    assert [stage["num_steps"] for stage in plan(tmp_path)["stages"]] == [2, 2]
    model = DiekaeModel.from_pretrained(tmp_path / "run/encoders")
    assert model.encoders.config.hidden_size == 16
    assert model.generate("Who is 1?", ["1 is Ada 1."], max_new_tokens=1).usage.knowledge_tokens


def test_a_run_goes_on_without_its_options(begin, run, tmp_path):
    assert begin("--stages", "warmup", "--steps", 2).exit_code == 0
    before = plan(tmp_path)

    result = run("train", tmp_path / "run")

    assert result.exit_code == 0, result.output
    assert plan(tmp_path) == before


def test_a_plan_in_a_file_may_be_changed_by_options(run, records, base_folder, tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(
        f'base = "{base_folder}"\ndata = "{records}"\n'
        'batch_size = 2\nprecision = "no"\nseed = 3\n'
        'stages = [{name = "warmup", num_steps = 1}]\n'
        "[encoders]\nhidden_size = 16\nintermediate_size = 32\nnum_hidden_layers = 1\n"
        "num_attention_heads = 2\n"
    )

    result = run("train", tmp_path / "run", "--plan", file, "--seed", 4)

    assert result.exit_code == 0, result.output
    assert (plan(tmp_path)["seed"], plan(tmp_path)["batch_size"]) == (4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stages", "warmup,later"], "no stage 'later'"),
        (["--layers", "first"], "--layers takes 3-8"),
        (["--layers", "9"], "0..3"),
        (["--field", "hidden_size"], "NAME=VALUE"),
        (["--field", "depth=3"], "unknown config field"),
        (["--stages", "warmup", "--on-policy"], "--on-policy belongs to"),
        (["--optimizer", "sgd"], "optimizer must be"),
        (["--patience", "2"], "patience needs valid"),
        (["--valid", "nowhere.jsonl"], "no file nowhere.jsonl"),
        (["--log-with", "nobody"], "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_honoured_is_one_line_and_trains_nothing(begin, tmp_path, options, message):
    result = begin("--steps", 1, *options)

    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run/warmup").exists()


def test_without_a_base_model_a_run_cannot_begin(run, tmp_path):
    result = run("train", tmp_path / "run")

    assert result.exit_code == 1
    assert "needs 'base'" in result.stderr


def test_help_says_how_to_use_several_devices(run):
    assert "accelerate launch" in run("train", "--help").stdout


def test_invented_records_are_what_training_reads(run, tmp_path):
    result = run("demo", "records", tmp_path / "worlds.jsonl", "--rows", 3)

    assert result.exit_code == 0, result.output
    count = int(result.stdout.split()[0])
    records = read_records(tmp_path / "worlds.jsonl")
    assert len(records) == count
    assert len({record.passages for record in records}) <= 3
    assert run("demo", "records", tmp_path / "worlds.csv").exit_code == 1


@pytest.mark.parametrize("wordings", [(), ("--new-wordings",)])
def test_unseen_records_are_the_questions_of_an_evaluation_with_what_is_found_for_them(
    run, tmp_path, wordings
):
    path = tmp_path / "unseen.jsonl"
    options = ("--unseen", 8, "--seed", 5, "--documents", 60, "-k", 2, *wordings)

    result = run("demo", "records", path, *options)

    assert result.exit_code == 0, result.output
    world = World(5, 60, heldout_wordings=bool(wordings))
    cases = find_cases(index_world(world), world.questions(8), 2)
    assert [(r.prompt, r.answer, r.passages) for r in read_records(path)] == [
        (c.question.text, c.question.answer, tuple(p.text for p in c.passages)) for c in cases
    ]


@pytest.mark.parametrize("options", [("--unseen", 3, "--rows", 2), ("-k", 2), ("--new-wordings",)])
def test_options_of_the_other_kind_of_records_are_refused(run, tmp_path, options):
    result = run("demo", "records", tmp_path / "a.jsonl", *options)

    assert result.exit_code == 2
    assert "--unseen" in result.stderr
    assert not list(tmp_path.iterdir())

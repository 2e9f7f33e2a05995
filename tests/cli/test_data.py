"""Public sets from the command line: listed, fetched, and read again."""

import json

import pytest
import typer
from typer.testing import CliRunner

from diekae_rag.cli.fetching import fetch
from diekae_rag.data import read_records
from diekae_rag.data.sets import SETS


@pytest.fixture
def data():
    """Runs ``diekae data``; arguments may be paths."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("data")(fetch)

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def folio(tmp_path):
    """FOLIO as published, on this machine."""
    folder = tmp_path / "folio"
    folder.mkdir()
    for name, number in (("train", 3), ("validation", 2)):
        rows = [
            {"premises": ["All ada are bob."], "conclusion": f"Ada is bob {n}.", "label": "True"}
            for n in range(number)
        ]
        (folder / f"folio-{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_without_a_name_all_sets_are_listed_with_their_licence(data):
    result = data("--json")

    assert result.exit_code == 0, result.stderr
    listed = json.loads(result.stdout)
    assert list(listed) == list(SETS)
    assert listed["dream"]["licence"] == "non-commercial research only"


def test_the_list_names_every_set_for_a_person_too(data):
    result = data()

    assert result.exit_code == 0, result.stderr
    assert "cmu_dog" in result.stdout
    assert "counterfact" in result.stdout


def test_every_split_is_written_so_that_it_can_be_read(data, folio, tmp_path):
    result = data("folio", tmp_path / "out", "--source", folio)

    assert result.exit_code == 0, result.stderr
    assert "CC BY-SA 4.0" in result.stderr
    assert "train.jsonl: 3 records" in result.stdout.replace("\n", "")
    files = {path.name: len(read_records(path)) for path in (tmp_path / "out").iterdir()}
    assert files == {"train.jsonl": 3, "valid.jsonl": 2}
    record = read_records(tmp_path / "out" / "train.jsonl")[0]
    assert record.passages == ("All ada are bob.",)


def test_one_split_may_be_asked_for(data, folio, tmp_path):
    result = data("folio", tmp_path / "out", "--source", folio, "--split", "valid", "--json")

    assert json.loads(result.stdout)["records"] == {"valid": 2}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["valid.jsonl"]


def test_edits_are_written_with_all_their_prompts_and_the_new_target_as_answer(data, tmp_path):
    rewrite = {
        "prompt": "{} lives in",
        "subject": "Ada",
        "target_true": {"str": "Turin"},
        "target_new": {"str": "Oslo"},
    }
    row = {
        "requested_rewrite": rewrite,
        "paraphrase_prompts": ["Ada dwells in"],
        "neighborhood_prompts": ["Bob lives in", "Cy lives in"],
    }
    (tmp_path / "counterfact.json").write_text(json.dumps([row] * 20))

    result = data("counterfact", tmp_path / "out", "--source", tmp_path)

    assert result.exit_code == 0, result.stderr
    path = tmp_path / "out" / "valid.jsonl"
    assert len(read_records(path)) == 3
    assert (read_records(path)[0].prompt, read_records(path)[0].answer) == ("Ada lives in", "Oslo")
    written = json.loads(path.read_text().splitlines()[0])
    assert written["target_true"] == "Turin"
    assert written["neighborhood_prompts"] == ["Bob lives in", "Cy lives in"]


def test_a_split_that_fails_leaves_none_written(data, folio, tmp_path):
    (folio / "folio-validation.jsonl").write_text("{")

    result = data("folio", tmp_path / "out", "--source", folio)

    assert result.exit_code == 1
    assert "folio-validation.jsonl, line 1: not JSON" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_left_out_is_said_on_stderr_and_may_be_kept(data, tmp_path):
    answers = ("the iron bridge opened in 1911", "It is old.")
    rows = [
        {"sender": "assistant", "message": text, "facts": [{"fid": 1, "used": True}]}
        for text in answers
    ]
    (tmp_path / "curiosity_dialogs.train.json").write_text(
        json.dumps({"dialogs": [{"messages": rows}]})
    )
    (tmp_path / "fact_db_links.json").write_text(
        json.dumps({"linked_facts": {"1": {"text": "The iron bridge opened in 1911."}}})
    )
    options = ("--source", tmp_path, "--split", "train", "--json")

    default = data("curiosity", tmp_path / "a", *options)
    kept = data("curiosity", tmp_path / "b", *options, "--keep-flaws")

    assert "warning: curiosity, train: 1 of 2 left out" in default.stderr
    assert json.loads(default.stdout)["records"] == {"train": 1}
    assert json.loads(kept.stdout)["records"] == {"train": 2}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("wow", "out"), 1, "no set 'wow'; there are cmu_dog"),
        (("folio",), 2, "FOLDER"),
        (("folio", "out", "--split", "test", "--source", "x"), 1, "folio has no split 'test'"),
        (("folio", "out", "--source", "file:///nowhere/"), 1, "download it by hand"),
    ],
)
def test_mistakes_end_in_one_line(data, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIEKAE_CACHE", str(tmp_path / "cache"))

    result = data(*arguments)

    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr

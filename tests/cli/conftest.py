"""A tiny model and a small index on disk, and a way to run the command line in this process."""

import json

import pytest
from typer.testing import CliRunner

from diekae_rag.cli import app


@pytest.fixture
def model_folder(make_model, tokenizer, tmp_path):
    """Encoders beside the reader they name, as they ship."""
    model = make_model(
        sharing="shared",
        passage_attention="independent",
        positions="all",
        max_passage_tokens=160,
        base_model_name_or_path="../reader",
    )
    model.base.save_pretrained(tmp_path / "weights" / "reader")
    tokenizer.save_pretrained(tmp_path / "weights" / "reader")
    model.encoders.save_pretrained(tmp_path / "weights" / "encoders")
    return tmp_path / "weights" / "encoders"


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "ada.txt").write_text("Ada lives in Turin.")
    (folder / "bob.md").write_text("Bob keeps a black goat as a pet.")
    (folder / "cem.jsonl").write_text('{"text": "Cem plays the harp."}\n')
    return folder


@pytest.fixture
def run():
    """Runs one command; arguments may be paths and numbers."""

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def index_folder(documents, tmp_path, run):
    folder = tmp_path / "index"
    assert run("index", documents, folder).exit_code == 0
    return folder


@pytest.fixture
def only_json():
    """Reads a result's stdout, all of it, as JSON."""

    def read(result):
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return read

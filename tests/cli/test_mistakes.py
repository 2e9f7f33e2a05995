import json
import os
import signal
import subprocess
import sys
import warnings

import pytest
import typer
from typer.testing import CliRunner

from diekae_rag.cli.console import readable
from diekae_rag.cli.mistakes import DEBUG, reports_mistakes
from diekae_rag.errors import DiekaeError


def run_program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "diekae_rag", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_line_error(result):
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    return lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "index", ""),
        ("ask", "index", " \t"),
        ("ask", "index", "Who?", "-k", "0"),
        ("ask", "index", "Who?", "-k", "-3"),
        ("ask", "index", "Who?", "--mode", "telepathy"),
        ("ask", "index", "Who?", "--max-new-tokens", "0"),
        ("ask", "index"),
        ("index", "documents", "index", "--chunk-size", "10", "--chunk-overlap", "10"),
        ("eval", "--questions", "0"),
        ("eval", "--arm", "telepathy"),
        ("eval", "--attribution", "--data", "records.jsonl"),
        ("eval", "--attribution", "--split-questions", "5"),
        ("demo", "--questions", "0"),
        ("demo", "--seed", "5", "train"),
        ("demo", "--json", "train"),
        ("dance",),
    ],
)
def test_wrong_arguments_end_with_2(run, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_missing_folder_ends_with_1(run, tmp_path):
    result = run("index", tmp_path / "nowhere", tmp_path / "index")
    assert result.exit_code == 1
    assert "there is no folder" in one_line_error(result)


def test_a_folder_with_nothing_to_read_ends_with_1(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("index", tmp_path / "empty", tmp_path / "index")
    assert result.exit_code == 1
    assert "nothing to read" in one_line_error(result)


def test_a_place_that_is_no_index_is_refused_before_the_work(run, documents, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear")
    result = run("index", documents, tmp_path / "mine")
    assert result.exit_code == 1
    assert "is not a passage index" in one_line_error(result)
    assert "Embedding" not in result.stderr


def test_a_missing_index_ends_with_1(run, tmp_path):
    result = run("ask", tmp_path / "nowhere", "Who?")
    assert result.exit_code == 1
    assert "does not exist" in one_line_error(result)


def test_a_damaged_index_ends_with_1(run, index_folder):
    (index_folder / "vectors.npy").write_bytes(b"not an array")
    result = run("ask", index_folder, "Who?")
    assert result.exit_code == 1
    assert "damaged" in one_line_error(result)


def test_a_folder_that_is_no_index_is_not_overwritten(run, documents, tmp_path):
    result = run("index", documents, documents)
    assert result.exit_code == 1
    assert "save to another folder" in one_line_error(result)
    assert (documents / "ada.txt").exists()


def test_missing_encoders_end_with_1(run, index_folder, tmp_path):
    result = run("ask", index_folder, "Who?", "--model", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "nowhere" in one_line_error(result)


def test_damaged_encoders_end_with_1(run, index_folder, model_folder):
    (model_folder / "model.safetensors").write_bytes(b"\xff" * 64)
    result = run("ask", index_folder, "Who?", "--model", model_folder)
    assert result.exit_code == 1
    one_line_error(result)


def test_a_prompt_too_long_ends_with_1(run, index_folder, model_folder):
    result = run("ask", index_folder, "Who? " * 1000, "--model", model_folder)
    assert result.exit_code == 1
    assert "Shorten the prompt" in one_line_error(result)


def run_body(body, *arguments, **environment):
    app = typer.Typer()
    app.command()(reports_mistakes(body))
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.mark.parametrize(
    "error",
    [ValueError("a\nb"), TypeError("a b"), OSError("a b"), DiekaeError("a b"), ImportError("a b")],
)
def test_what_the_package_raises_becomes_one_line(error):
    def body() -> None:
        raise error

    result = run_body(body)
    assert result.exit_code == 1
    assert result.stderr == "error: a b\n"
    assert result.stdout == ""


def test_a_defect_keeps_its_traceback():
    def body() -> None:
        raise ZeroDivisionError

    assert isinstance(run_body(body).exception, ZeroDivisionError)


def test_debugging_keeps_every_traceback():
    def body() -> None:
        raise ValueError("a")

    assert isinstance(run_body(body, **{DEBUG: "1"}).exception, ValueError)


def test_interrupting_ends_with_130_quietly():
    def body() -> None:
        raise KeyboardInterrupt

    result = run_body(body)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_a_warning_is_one_line_on_stderr():
    def body() -> None:
        warnings.warn("cut\nshort", stacklevel=2)

    result = run_body(body)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "warning: cut short\n"


def test_readable_text_keeps_letters_of_every_script():
    assert readable("Zoë — 東京\n\tok") == "Zoë — 東京\n\tok"


def test_the_program_says_its_version():
    result = run_program("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("diekae-rag ")


def test_the_program_answers_in_json_and_nothing_else(index_folder, model_folder):
    result = run_program("ask", index_folder, "Who?", "--model", model_folder, "--json")
    assert result.returncode == 0, result.stderr
    assert set(json.loads(result.stdout)) == {
        "question",
        "answer",
        "mode",
        "passages",
        "usage",
        "edits",
    }


def test_the_program_shows_no_traceback(tmp_path):
    result = run_program("ask", tmp_path / "nowhere", "Who?")
    assert result.returncode == 1
    assert result.stdout == ""
    one_line_error(result)


def test_help_needs_no_model_library():
    code = (
        "import sys; from typer.testing import CliRunner; from diekae_rag.cli import app\n"
        "assert CliRunner().invoke(app, ['eval', '--help']).exit_code == 0\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_the_program_stops_at_an_interrupt():
    code = (
        "import signal, time, diekae_rag.index, diekae_rag.cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # else ignored in background
        "def read(*_, **__):\n    print('reading', flush=True)\n    time.sleep(60)\n"
        "diekae_rag.index.read_documents = read\n"
        "diekae_rag.cli.main()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, "index", "documents", "index"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "reading\n"
    program.send_signal(signal.SIGINT)
    output, errors = program.communicate(timeout=60)
    assert (program.returncode, output, errors) == (130, "", "")


def test_a_file_that_is_no_checkpoint_ends_with_1(run, tmp_path):
    (tmp_path / "x.pt").write_text("hello")
    result = run("convert", tmp_path / "x.pt", tmp_path / "encoders")
    assert result.exit_code == 1
    assert "cannot be read" in one_line_error(result)
    assert not (tmp_path / "encoders").exists()

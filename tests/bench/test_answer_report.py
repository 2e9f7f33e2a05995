"""The report of the benchmark of answers: resumed, added up, shown, drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from diekae_rag.bench.answering import apart
from diekae_rag.bench.answering.exponents import exponent
from diekae_rag.bench.answering.plots import save_answer_plot
from diekae_rag.bench.answering.report import ARM_NAMES, benchmark_answers
from diekae_rag.bench.answering.setting import AnswerSetting, grid
from diekae_rag.bench.answering.tables import answer_tables
from diekae_rag.cli import app

SETTING = AnswerSetting("tiny", knowledge_tokens=8, passages=1, prompt_tokens=3, rounds=2)
MACHINE = {
    "device": "none", "processor": "none", "capability": "none", "threads": 1,
    "memory_bytes": 2**30, "torch": "2", "transformers": "5",
}  # fmt: skip


def law(setting, arms, on_step=lambda step: None):
    """Measures as if stuffing cost the square of what is read and injection the tokens."""
    tokens, rows = setting.knowledge_tokens, setting.batch_size
    seconds = {"stuffed": 1e-5 * rows * tokens**2, "injected": 1e-4 * rows * tokens, "base": 0.2}

    def arm(name):
        return {
            "fits": True,
            "first_seconds": [seconds.get(name, 0.1)] * setting.rounds,
            "seconds": [seconds.get(name, 0.1) + setting.new_tokens - 1] * setting.rounds,
            "new_tokens": setting.new_tokens,
            "tokens_read": 3,
            "kept_bytes": 512.0,
            "once_seconds": None,
            "peak_bytes": 1000 * rows * tokens * (20 if name == "stuffed" else 1),
            "available_bytes": 10**9,
        }

    size = {"weights": 1, "bytes": 2}
    return {
        "arms": {name: arm(name) for name in arms},
        "passage_tokens": tokens,
        "base": size,
        "encoders": size,
        "machine": MACHINE,
    }


def shown(report):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(answer_tables(report))
    return capture.get()


def test_a_stopped_run_goes_on_without_measuring_again(tmp_path):
    settings = grid(SETTING, [8, 16, 32], passages=[1])
    place, measured = tmp_path / "answers.json", []

    def stops(setting, arms, on_step):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(setting.knowledge_tokens)
        return law(setting, arms)

    with pytest.raises(KeyboardInterrupt):
        benchmark_answers(settings, output=place, measure=stops)
    assert len(json.loads(place.read_text())["cells"]) == 2

    def goes_on(setting, arms, on_step):
        measured.append(setting.knowledge_tokens)
        return law(setting, arms)

    report = benchmark_answers(settings, output=place, measure=goes_on)
    assert measured == [8, 16, 32]
    assert json.loads(place.read_text()) == report
    assert benchmark_answers(settings, output=place, measure=stops) == report


def test_an_arm_that_was_not_measured_is_measured_beside_the_others(tmp_path):
    place = tmp_path / "answers.json"
    benchmark_answers([SETTING], arms=["none"], output=place, measure=law)

    report = benchmark_answers([SETTING], arms=["stuffed", "none"], output=place, measure=law)

    assert [list(cell["arms"]) for cell in report["cells"]] == [["none", "stuffed"]]


def test_a_file_that_is_something_else_is_an_error_and_stays(tmp_path):
    place = tmp_path / "notes.json"
    place.write_text("[]")

    with pytest.raises(ValueError, match=r"notes.json is there"):
        benchmark_answers([SETTING], output=place, measure=law)
    assert place.read_text() == "[]"


def test_ratios_are_taken_round_by_round():
    def measure(setting, arms, on_step):
        report = law(setting, arms)
        report["arms"]["stuffed"]["first_seconds"] = [8.0, 2.0]
        report["arms"]["injected"]["first_seconds"] = [2.0, 1.0]
        return report

    report = benchmark_answers(
        [replace(SETTING, knowledge_tokens=1024, passages=0)], measure=measure
    )

    arm = report["cells"][0]["arms"]["injected"]
    assert arm["ratios"]["stuffed"]["first_seconds"] == (2 / 8 + 1 / 2) / 2
    goals = {goal["goal"]: goal for goal in report["models"]["tiny"]["goals"]}
    stuffed = goals["first token, stuffed / injected, 1,024 tokens"]
    assert (stuffed["value"], stuffed["is_met"]) == (3.0, False)


def test_only_goals_whose_settings_were_measured_are_there():
    long = replace(SETTING, knowledge_tokens=4096, passages=0)
    goals = benchmark_answers([long], measure=law)["models"]["tiny"]["goals"]

    assert [goal["is_met"] for goal in goals] == [True] * 4
    assert "4,096 tokens as eight passages" in goals[0]["goal"]
    assert [goal.get("at_most") for goal in goals] == [None, None, 1.15, 1.03]
    assert not benchmark_answers([SETTING], arms=["none"], measure=law)["models"]["tiny"]["goals"]


@given(
    st.floats(-2, 3),
    st.lists(st.floats(0.01, 100), min_size=1, max_size=3),
    st.lists(st.integers(1, 4096), min_size=2, max_size=6, unique=True),
)
def test_the_exponent_of_a_power_law_is_its_own_whatever_the_levels(power, levels, lengths):
    groups = [[(x, level * x**power) for x in lengths] for level in levels]

    assert exponent(groups) == pytest.approx(power, abs=1e-6)


def test_exponents_compare_only_settings_alike_in_everything_else():
    settings = grid(SETTING, [8, 16], [1, 4], [1, 2], [1, 2])
    fitted = benchmark_answers(settings, measure=law)["models"]["tiny"]["exponents"]

    times = fitted["stuffed"]["first_seconds"]
    assert times["knowledge_tokens"]["exponent"] == pytest.approx(2)
    assert times["batch_size"]["exponent"] == pytest.approx(1)
    assert times["passages"]["exponent"] == pytest.approx(0, abs=1e-6)
    assert fitted["injected"]["first_seconds"]["knowledge_tokens"]["exponent"] == pytest.approx(1)
    assert fitted["injected"]["peak_bytes"]["knowledge_tokens"]["exponent"] == pytest.approx(1)


def test_rows_that_fit_are_computed_from_the_peak_of_one():
    cell = benchmark_answers([replace(SETTING, batch_size=4)], measure=law)["cells"][0]

    assert cell["arms"]["stuffed"]["sequences_that_fit"] == 10**9 // (1000 * 8 * 20)


def test_a_report_read_back_is_the_same_table_and_has_every_arm(tmp_path):
    place = tmp_path / "answers.json"
    settings = grid(SETTING, [8, 16], new_tokens=[3], passages=[1])
    report = benchmark_answers(settings, output=place, measure=law)

    table = shown(json.loads(place.read_text()))

    assert table == shown(report)
    assert all(name in table for name in [*ARM_NAMES, "exponents", "goals", "load before"])


def test_what_does_not_fit_is_a_line_in_the_table():
    def measure(setting, arms, on_step):
        report = law(setting, arms)
        report["arms"]["stuffed"] = {"fits": False, "why": "memory ran out"}
        return report

    report = benchmark_answers([SETTING], measure=measure)

    assert "does not fit: memory ran out" in shown(report)
    assert "stuffed" not in report["cells"][0]["arms"]["none"]["ratios"]


def test_each_arm_that_fits_has_a_process_for_its_memory(monkeypatch):
    asked = []

    def ask(setting, request, on_step):
        asked.append(request)
        if "memory_of" in request:
            return {"peak_bytes": 5, "available_bytes": 9}
        report = law(setting, request["arms"])
        report["arms"]["none"]["peak_bytes"] = None
        report["arms"]["stuffed"] = {"fits": False, "why": "memory ran out"}
        return report

    monkeypatch.setattr(apart, "_ask", ask)
    report = apart.measure_apart(SETTING, ["none", "stuffed"], lambda step: None)

    assert asked == [{"arms": ["none", "stuffed"]}, {"memory_of": "none"}]
    assert report["arms"]["none"]["peak_bytes"] == 5
    assert "peak_bytes" not in report["arms"]["stuffed"]


def test_a_process_that_is_killed_leaves_a_line(monkeypatch):
    monkeypatch.setattr(apart, "_ask", lambda *_: None)
    report = benchmark_answers([SETTING], arms=["none"])

    assert "does not fit: its process was ended" in shown(report)


def test_the_plot_is_a_picture(tmp_path):
    settings = [*grid(SETTING, [8, 16]), replace(SETTING, shape="llama-160m", layers=())]
    report = benchmark_answers(settings, measure=law)

    path = save_answer_plot(report, tmp_path / "first.png")

    assert path.read_bytes()[:4] == b"\x89PNG"
    assert [one.name for one in tmp_path.iterdir()] == ["first.png"]


@pytest.mark.parametrize("wrong", [["magic"], []])
def test_an_arm_that_does_not_exist_is_an_error(wrong):
    with pytest.raises(ValueError, match="arms must be some of"):
        benchmark_answers([SETTING], arms=wrong, measure=law)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quick", "--full"], "choose one"),
        (["--quick", "--batch-size", "2"], "choose one"),
        (["--model", "demo", "--shape", "tiny"], "leave those options out"),
        (["--model", "./nowhere"], "nowhere"),
        (["--shape", "tiny", "--sharing", "some"], "sharing must be one of"),
        (["--shape", "tiny", "--knowledge-tokens", "2", "--passages", "3"], "passages must be"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(options, said):
    done = CliRunner().invoke(app, ["bench", "answer", *options])

    assert done.exit_code == 1
    assert said in " ".join(done.output.split())


def test_the_command_measures_in_a_process_of_its_own_and_goes_on_from_its_file(tmp_path):
    place = tmp_path / "answers.json"
    command = ["bench", "answer", "--shape", "tiny", "--knowledge-tokens", "9", "--rounds", "1"]
    command += ["--arm", "none", "--arm", "injected", "--output", str(place), "--json"]
    command += ["--memory", "together"]

    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    written = place.stat().st_mtime_ns
    again = CliRunner().invoke(app, command)

    assert place.stat().st_mtime_ns == written
    assert json.loads(again.stdout) == json.loads(done.stdout) == json.loads(place.read_text())
    assert place.with_suffix(".png").exists()

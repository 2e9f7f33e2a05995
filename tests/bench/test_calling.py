"""What a whole call costs: its parts are those of the call, and change nothing in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from diekae_rag.bench.answering.workload import TooLongError, build_answerer
from diekae_rag.bench.calling.arms import MODES_OF_ARMS, PARTS, ask
from diekae_rag.bench.calling.library import build_library
from diekae_rag.bench.calling.measuring import measure_calls
from diekae_rag.bench.calling.setting import CALL_ARMS, CallSetting, call_grid
from diekae_rag.bench.calling.tables import call_bars, call_tables
from diekae_rag.bench.cells import measure_cells
from diekae_rag.bench.stacked import save_stacked_plot
from diekae_rag.bench.stopwatch import Stopwatch
from diekae_rag.bench.timed import TimedEmbedder
from diekae_rag.cli import app

SETTING = CallSetting(
    "tiny", index_size=40, k=3, passage_tokens=9, question_tokens=5, rounds=2, device="cpu"
)


@pytest.fixture(scope="module")
def clock():
    return Stopwatch()


@pytest.fixture(scope="module")
def answerer():
    return build_answerer(SETTING.for_answers())


@pytest.fixture(scope="module")
def library(answerer, clock, tmp_path_factory):
    embedder = TimedEmbedder("minilm", "cpu", clock)
    return build_library(SETTING, answerer, embedder, tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def report():
    return measure_calls(SETTING)


def test_every_question_finds_passages_of_its_own(library):
    found = [[p.id for p in library.index.search(q, 3)] for q in library.questions]

    assert len(library.questions) == 3
    ids = [id for some in found for id in some]
    assert sorted(ids) == sorted(passage.id for passage in library.findable)


@pytest.mark.parametrize("arm", ["none", "stuffed", "injected"])
def test_a_call_that_is_measured_answers_as_one_that_is_not(answerer, library, clock, arm):
    model, question, mode = answerer.model, library.questions[0], MODES_OF_ARMS[arm]
    passages = [] if mode == "none" else library.index.search(question, 3)
    plain = model.generate(question, passages, mode, max_new_tokens=1)

    call = ask(library.index, model, question, 3, mode, clock)

    assert call.text == plain.text
    assert call.found == [passage.id for passage in passages]
    assert call.usage.knowledge_tokens == plain.usage.knowledge_tokens
    assert not model.encoders._forward_hooks
    assert not model.encoders._forward_pre_hooks


@pytest.mark.parametrize(
    ("arm", "absent"),
    [
        ("none", {"embed", "encoders"}),
        ("stuffed", {"encoders"}),
        ("injected", set()),
    ],
)
def test_parts_are_all_of_the_seconds_and_none_is_counted_twice(
    answerer, library, clock, arm, absent
):
    call = ask(library.index, answerer.model, library.questions[1], 3, MODES_OF_ARMS[arm], clock)

    assert tuple(call.parts) == PARTS
    assert sum(call.parts.values()) == pytest.approx(call.seconds)
    assert all(seconds >= 0 for seconds in call.parts.values())
    assert {part for part in ("embed", "encoders") if not call.parts[part]} == absent


def test_kept_states_are_given_back_however_a_call_ends(answerer, library, clock):
    kept = answerer.model.keep_states()
    answerer.model.states = None

    with pytest.raises(ValueError, match="blank"):
        ask(library.index, answerer.model, " ", 3, "inject", clock, kept)

    assert answerer.model.states is None
    assert not answerer.model.encoders._forward_hooks


def test_every_way_is_measured_with_what_it_reads(report):
    arms = report["arms"]

    assert tuple(arms) == CALL_ARMS
    read = {name: (arm["prompt_tokens"], arm["knowledge_tokens"]) for name, arm in arms.items()}
    assert read["none"] == (5, 0)
    assert read["stuffed"] == (5 + 27, 27)
    assert {read[name] for name in CALL_ARMS[2:]} == {(5, 27)}
    assert all(len(arm["seconds"]["rounds"]) == 2 for arm in arms.values())
    assert report["search_info"] == {"is_exact": True}


def test_ratios_are_taken_round_by_round(report):
    stuffed, kept = (report["arms"][name] for name in ("stuffed", "injected, kept states"))

    pairs = zip(kept["seconds"]["rounds"], stuffed["seconds"]["rounds"], strict=True)
    assert kept["ratios"]["stuffed"]["rounds"] == [a / b for a, b in pairs]
    assert stuffed["ratios"]["stuffed"]["median"] == 1


def test_what_would_be_cut_is_an_error():
    with pytest.raises(TooLongError, match="would be cut"):
        measure_calls(replace(SETTING, model="demo", passage_tokens=2000, rounds=1))


def test_a_report_goes_on_where_it_was_and_is_shown(tmp_path, report):
    place, measured = tmp_path / "rag.json", []

    def measure(setting, on_step):
        measured.append(setting.k)
        return report

    settings = call_grid(SETTING, [40], [3, 1], [9])
    measure_cells(settings[:1], measure, format="rag 1", output=place)
    whole = measure_cells(settings, measure, format="rag 1", output=place)
    again = measure_cells(settings, measure, format="rag 1", output=place)

    assert measured == [1, 3]
    assert again == whole == json.loads(place.read_text())
    console = Console(width=140)
    with console.capture() as capture:
        console.print(call_tables(whole))
    assert all(name in capture.get() for name in (*CALL_ARMS, "embed the question", "of none's"))
    path = save_stacked_plot(call_bars(whole), tmp_path / "rag.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "wrong",
    [{"shape": "huge"}, {"index_size": 9}, {"k": 0}, {"question_tokens": 0}, {"rounds": 0}],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SETTING, **wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "demo", "--shape", "tiny"], "leave those options out"),
        (["--shape", "tiny", "--index-size", "5"], "index_size must be at least 33"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(options, said):
    done = CliRunner().invoke(app, ["bench", "rag", *options])

    assert done.exit_code == 1
    assert said in " ".join(done.output.split())


def test_the_command_goes_on_from_its_file(tmp_path):
    place = tmp_path / "rag.json"
    command = ["bench", "rag", "--shape", "tiny", "--index-size", "20", "-k", "2", "--rounds", "1"]
    command += ["--passage-tokens", "6", "--output", str(place), "--json"]

    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    written = place.stat().st_mtime_ns
    again = CliRunner().invoke(app, command)

    assert place.stat().st_mtime_ns == written
    assert json.loads(again.stdout) == json.loads(done.stdout) == json.loads(place.read_text())
    assert place.with_suffix(".png").exists()

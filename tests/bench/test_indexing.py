"""What building, keeping and opening an index costs: measured on what is really built."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from diekae_rag.bench import timed
from diekae_rag.bench.cells import measure_cells
from diekae_rag.bench.indexing import measuring
from diekae_rag.bench.indexing.measuring import measure_index
from diekae_rag.bench.indexing.setting import IndexSetting, index_grid
from diekae_rag.bench.indexing.tables import index_bars, index_tables
from diekae_rag.bench.stacked import save_stacked_plot
from diekae_rag.bench.stopwatch import Stopwatch
from diekae_rag.cli import app

SETTING = IndexSetting("tiny", num_passages=12, passage_tokens=9, rounds=2, device="cpu")


@pytest.fixture(scope="module")
def seen():
    """A report, and what was asked of the encoders and written while it was made."""
    sizes, texts = [], []

    class Watched(timed.TimedReader):
        def encode(self, rows, after=None):
            texts.append(list(map(len, rows)))
            return super().encode(rows, after)

    def watched(reader, path, dtype):
        kept = timed.timed_states(reader, path, dtype)
        sizes.append((dtype, kept.file))
        return kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "TimedReader", Watched)
        patch.setattr(measuring, "timed_states", watched)
        report = measure_index(SETTING)
    return report, sizes, texts


def test_tokens_counted_are_those_that_the_encoders_read(seen):
    report, _, texts = seen

    rounds = 2 * len(SETTING.state_dtypes)
    warming = 8 * 9 * len(SETTING.state_dtypes)
    assert report["knowledge_tokens"] == 12 * 9
    assert sum(map(sum, texts)) == warming + rounds * report["knowledge_tokens"]


def test_bytes_are_those_of_the_files(seen):
    report, files, _ = seen

    for dtype, file in files[-2:]:
        assert report["states"][dtype or "own"]["bytes"] == file.num_bytes
    assert set(report["index"]["bytes"]) == {"manifest.json", "passages.sqlite", "vectors.npy"}
    assert report["index"]["bytes"]["vectors.npy"] == 128 + 12 * 384 * 4
    # Keys and values of 4 layers of 2 heads of 8, in float32.
    cache = report["prefix_cache"]
    assert cache["bytes"] == cache["tokens"] * 2 * 4 * 2 * 8 * 4


def test_smaller_precisions_take_less_disk(seen):
    states = seen[0]["states"]

    assert list(states) == ["own", "bfloat16", "int8"]
    assert states["own"]["bytes"] > states["bfloat16"]["bytes"] > states["int8"]["bytes"]
    assert states["own"]["dtype"] == "float32"


def test_parts_add_up_to_all_of_the_seconds_and_explain_nearly_all(seen):
    report = seen[0]
    timed_things = [report["index"], *report["states"].values()]
    timed_things += [states["reopen"] for states in report["states"].values()]

    for one in timed_things:
        rounds = zip(*(part["rounds"] for part in one["parts"].values()), strict=True)
        assert [sum(parts) for parts in rounds] == pytest.approx(one["seconds"]["rounds"])
        assert all(part["min"] >= 0 for part in one["parts"].values())
        assert one["parts"]["other"]["median"] < one["seconds"]["median"] / 2
    assert set(report["states"]["own"]["parts"]) == {
        "open", "tokenize", "encode", "write", "other"
    }  # fmt: skip


def test_an_index_that_has_to_be_read_again_when_opened_is_an_error(monkeypatch):
    def loses(reader, path, dtype):
        kept = timed.timed_states(reader, path, dtype)
        monkeypatch.setattr(kept, "add", lambda passages: 0)
        return kept

    monkeypatch.setattr(measuring, "timed_states", loses)

    with pytest.raises(RuntimeError, match="8 passages of an index had no states"):
        measure_index(SETTING)


def test_a_part_within_another_is_counted_once():
    clock = Stopwatch()

    with pytest.raises(KeyError), clock.part("outer"), clock.part("inner"):
        raise KeyError
    with clock.part("outer"):
        pass

    assert set(clock.take()) == {"outer", "inner"}
    assert clock.take() == {}


def test_a_report_goes_on_where_it_was_and_is_shown(tmp_path, seen):
    place, measured = tmp_path / "index.json", []

    def measure(setting, on_step):
        measured.append(setting.num_passages)
        return seen[0]

    settings = index_grid(SETTING, [24, 12], [9])
    first = measure_cells(settings[:1], measure, format="index 1", output=place)
    report = measure_cells(settings, measure, format="index 1", output=place)
    again = measure_cells(settings, measure, format="index 1", output=place)

    assert measured == [12, 24]
    assert first["cells"] == report["cells"][:1]
    assert again == report == json.loads(place.read_text())
    console = Console(width=120)
    with console.capture() as capture:
        console.print(index_tables(report))
    assert "states, own (float32), all" in capture.get()
    path = save_stacked_plot(index_bars(report), tmp_path / "index.png")
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_a_report_of_another_benchmark_is_an_error_and_stays(tmp_path):
    place = tmp_path / "other.json"
    place.write_text('{"format": "rag 1", "cells": []}')

    with pytest.raises(ValueError, match=r"other.json is there"):
        measure_cells([SETTING], measure_index, format="index 1", output=place)
    assert place.read_text() == '{"format": "rag 1", "cells": []}'


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "huge"}, {"num_passages": 0}, {"passage_tokens": 0}, {"rounds": 0},
        {"state_dtypes": ("int4",)}, {"state_dtypes": ()}, {"dtype": "int8"},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        IndexSetting(**{"shape": "tiny", **wrong})


def test_a_precision_that_is_the_encoders_own_is_kept_once():
    kept = replace(SETTING, dtype="bfloat16", state_dtypes=("own", "bfloat16", "int8"))

    assert kept.state_dtypes == ("own", "int8")


def test_the_command_writes_a_report_and_a_plot(tmp_path):
    place = tmp_path / "index.json"
    command = ["bench", "index", "--shape", "tiny", "--passages", "3", "--passage-tokens", "5"]
    command += ["--state-dtype", "int8", "--rounds", "1", "--output", str(place), "--json"]

    done = CliRunner().invoke(app, command)

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(place.read_text())
    assert place.with_suffix(".png").exists()

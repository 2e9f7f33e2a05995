"""What finding costs is measured against a search that compares all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from diekae_rag.bench.search import draw_vectors, measure_search
from diekae_rag.bench.tables import search_table
from diekae_rag.cli import app
from diekae_rag.cli.console import show

SETTING = {
    "vector_size": 8,
    "num_questions": 5,
    "exact_up_to": 1000,
    "show_progress": False,
}


def test_each_size_is_measured_and_the_report_is_json(tmp_path, capsys):
    report = measure_search([500, 1500], output=tmp_path / "report.json", **SETTING)

    assert set(report["sizes"]["500"]) == {"flat"}
    assert set(report["sizes"]["1500"]) == {"flat", "chosen"}
    assert report["sizes"]["1500"]["flat"]["recall"] == 1
    assert report["sizes"]["1500"]["chosen"]["search_info"]["cells"] > 1
    assert report["machine"]["cores"]
    assert json.loads((tmp_path / "report.json").read_text()) == report
    show(search_table(report))
    assert "1,500" in capsys.readouterr().out


def test_what_was_measured_with_the_same_setting_is_not_measured_again(tmp_path):
    output = tmp_path / "report.json"
    first = measure_search([500], output=output, **SETTING)

    assert (
        measure_search([500, 600], output=output, **SETTING)["sizes"]["500"]
        == (first["sizes"]["500"])
    )
    other = measure_search([600], output=output, data="uniform", **SETTING)
    assert set(other["sizes"]) == {"600"}


def test_vectors_are_of_length_1_the_same_each_time_and_no_part_is_another():
    def draw(data, part):
        return draw_vectors(50, 1000, 16, data, seed=0, part=part)

    for data in ("clustered", "overlapping", "uniform"):
        assert np.array_equal(draw(data, 0), draw(data, 0))
        assert np.linalg.norm(draw(data, 0), axis=1) == pytest.approx(1)
        likeness = np.concatenate([draw(data, part) for part in (-1, 0, 1)])
        assert (likeness @ likeness.T > 0.9999).sum() == 150


def test_sizes_that_are_none_are_refused():
    for sizes in ("many", "0", "1,,2"):
        result = CliRunner().invoke(app, ["bench", "search", "--sizes", sizes])
        assert result.exit_code == 2

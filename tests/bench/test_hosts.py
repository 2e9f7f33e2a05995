"""What a host's class costs is measured on answers that are the same."""

from __future__ import annotations

import json

import pytest

from diekae_rag.bench.hosts import measure_hosts
from diekae_rag.bench.tables import hosts_table
from diekae_rag.cli.console import show

SIZES = {"num_questions": 3, "num_documents": 12, "rounds": 2, "show_progress": False}


def test_every_question_is_asked_of_all_and_the_report_is_json(model, capsys):
    report = measure_hosts(model, **SIZES)

    assert report["num_calls"] == 6
    assert set(report["calls"]) == {"core", "langchain", "llama_index"}
    assert "overhead" not in report["calls"]["core"]
    assert all(call["seconds"] > 0 for call in report["calls"].values())
    assert json.loads(json.dumps(report)) == report
    show(hosts_table(report))
    assert "llama_index" in capsys.readouterr().out


def test_answers_that_differ_are_an_error(model, monkeypatch):
    generate = model.generate

    def shorter_of_one(prompts, *arguments, **options):
        limit = {"max_new_tokens": 1} if isinstance(prompts, str) else {}
        return generate(prompts, *arguments, **options | limit)

    monkeypatch.setattr(model, "generate", shorter_of_one)

    with pytest.raises(RuntimeError, match="answered differently"):
        measure_hosts(model, **SIZES)

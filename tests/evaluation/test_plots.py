import sys

import pytest

from diekae_rag.evaluation import evaluate_records
from diekae_rag.evaluation.plots import save_plots

PNG = b"\x89PNG\r\n\x1a\n"


def test_every_picture_is_written_without_a_display(arms, records, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    report = evaluate_records(
        arms, records, max_new_tokens=2, num_timed=0, num_resamples=5, show_progress=False
    )
    paths = save_plots(report, tmp_path / "new" / "plots", "mine-")
    assert [path.name for path in paths] == ["mine-quality.png", "mine-loss.png", "mine-tokens.png"]
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_without_matplotlib_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "diekae_rag.pictures")
    with pytest.raises(ImportError, match=r'pip install "diekae-rag\[train\]"'):
        import diekae_rag.pictures  # noqa: F401

"""The README runs: its Python blocks, one after the other, on the reader that ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diekae_rag.locations import demo_folder

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)

    assert len(BLOCKS) >= 3
    assert str(names["answer"]) in str(names["passages"])


def test_every_file_the_readme_names_exists() -> None:
    root = README.parent
    mapped = re.findall(r"^\| `([\w./]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)

    assert mapped
    assert [name for name in mapped if not (root / name).exists()] == []


def test_the_shipped_weights_fit_their_budget() -> None:
    files = [path for path in demo_folder().rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) <= 40 * 2**20
    assert {path.suffix for path in files} <= {".json", ".safetensors"}

"""The table of what is proven names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "integrations" / "README.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TABLE)


def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_the_table_names_exists(file):
    names = {name for path, name in NAMED if path == file and name}

    assert names <= defined_in(ROOT / file)


def test_the_table_is_about_both_hosts():
    folders = {file.split("/")[1] for file, _ in NAMED}

    assert {"requirements", "hosts", "langchain", "llama_index_host"} <= folders

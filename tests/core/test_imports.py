"""What is promised at import: the names, and no work."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import diekae_rag

EVERYTHING = "\n".join(f"diekae_rag.{name}" for name in diekae_rag.__all__)


def modules_after(code: str) -> set[str]:
    """Top-level modules that are loaded after running some code in a fresh interpreter."""
    report = "import sys, json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_the_package_does_no_work():
    loaded = modules_after("import diekae_rag")

    assert not loaded & {"torch", "transformers", "faiss", "numpy", "sentence_transformers"}


def test_importing_the_core_imports_no_framework():
    loaded = modules_after(
        f"import diekae_rag\n{EVERYTHING}\n"
        "import diekae_rag.training.loop, diekae_rag.demo.reader, diekae_rag.demo.worlds"
    )

    assert "torch" in loaded
    frameworks = {n for n in loaded if n.startswith(("langchain", "llama_index", "langgraph"))}
    assert frameworks <= {"langchain_text_splitters", "langchain_core"} - {"langchain_core"}


@pytest.mark.parametrize("name", diekae_rag.__all__)
def test_every_promised_name_is_there(name):
    assert getattr(diekae_rag, name).__name__ == name


def test_any_other_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Knowledge"):
        _ = diekae_rag.Knowledge

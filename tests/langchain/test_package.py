"""The package as a whole."""

import importlib
import subprocess
import sys

import pytest


def test_without_langchain_the_error_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "langchain_core":
            monkeypatch.setitem(sys.modules, name, None)
        if name.partition(".")[0] == "langchain_diekae":
            monkeypatch.delitem(sys.modules, name)

    with pytest.raises(ImportError, match=r'pip install "diekae-rag\[langchain\]"'):
        importlib.import_module("langchain_diekae")


def test_without_agents_the_error_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] == "langchain":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "langchain", None)
    monkeypatch.delitem(sys.modules, "langchain_diekae.middleware", raising=False)
    package = importlib.import_module("langchain_diekae")

    with pytest.raises(ImportError, match=r'pip install "diekae-rag\[agents\]"'):
        _ = package.DiekaeMiddleware


def test_importing_the_package_imports_no_agents():
    code = "import langchain_diekae, sys; print('langchain' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert result.stdout.strip() == "False", result.stderr


def test_the_package_promises_seven_names():
    package = importlib.import_module("langchain_diekae")

    assert package.__all__ == [
        "ChatDiekae",
        "DiekaeEmbeddings",
        "DiekaeLLM",
        "DiekaeMiddleware",
        "DiekaeRetriever",
        "DiekaeVectorStore",
        "create_diekae_documents_chain",
    ]
    assert all(getattr(package, name) for name in package.__all__)

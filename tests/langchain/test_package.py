"""The package as a whole."""

import importlib
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


def test_the_package_promises_five_names():
    package = importlib.import_module("langchain_diekae")

    assert package.__all__ == [
        "DiekaeEmbeddings",
        "DiekaeLLM",
        "DiekaeRetriever",
        "DiekaeVectorStore",
        "create_diekae_documents_chain",
    ]

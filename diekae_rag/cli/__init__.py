"""The command line: ``diekae demo``, ``index``, ``ask`` and ``eval``."""

from diekae_rag.cli.app import app, main

__all__ = ["app", "main"]

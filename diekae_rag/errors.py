"""Errors that a caller may want to tell apart."""

from __future__ import annotations

__all__ = ["DiekaeError", "PromptTooLongError", "TrainingError"]


class DiekaeError(RuntimeError):
    """Something asked of a model that it cannot do.

    A ``RuntimeError``, because query engines swallow ``ValueError`` and ``TypeError`` raised by
    their language model and answer with nothing.
    """


class PromptTooLongError(DiekaeError):
    """The prompt and the tokens to generate do not fit into the base model's window."""


class TrainingError(DiekaeError):
    """Training cannot go on; the message says what to try. Earlier checkpoints are intact."""

"""From exceptions to one line on stderr and an exit code."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer

from diekae_rag.cli.console import note, warn_in_lines
from diekae_rag.errors import DiekaeError

__all__ = ["DEBUG", "FAILED", "INTERRUPTED", "USAGE", "reports_mistakes"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130
DEBUG = "DIEKAE_DEBUG"
"""An environment variable: when it is set, errors keep their traceback."""

_EXPECTED = (DiekaeError, ImportError, OSError, TypeError, ValueError)

P = ParamSpec("P")


def reports_mistakes(command: Callable[P, None]) -> Callable[P, None]:
    """Makes a command end as a person expects: a line that says what to do, and no traceback.

    Errors that the package raises for what it was given end with 1; wrong arguments, which typer
    finds, with 2; Ctrl-C with 130. Anything else is a defect and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with warn_in_lines():
                command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # whoever read our output has gone; click ends quietly
        except Exception as error:
            if os.environ.get(DEBUG) or not isinstance(error, (*_EXPECTED, _damaged_weights())):
                raise
            note("error", str(error) or type(error).__name__, "bold red")
            raise typer.Exit(FAILED) from None

    return run


def _damaged_weights() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError

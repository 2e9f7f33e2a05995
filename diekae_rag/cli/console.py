"""Where output goes: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

__all__ = ["note", "one_line", "quiet_libraries", "readable", "show", "show_json", "warn_in_lines"]


def readable(text: str) -> str:
    r"""Text that a terminal only prints: control characters, which could steer it, are replaced.

    Example:
        >>> readable("a\tb\x1b[2J")
        'a\tb\ufffd[2J'
    """
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" else c for c in text
    )


def one_line(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(readable(text).split())


def show(result: RenderableType) -> None:
    """Prints a result for a person; a string is printed as it is, markup and all."""
    text = Text(readable(result)) if isinstance(result, str) else result
    Console(highlight=False).print(text, soft_wrap=isinstance(result, str))


def show_json(result: Any) -> None:
    """Prints a result for a machine: one JSON document, ASCII, nothing else."""
    sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")


def note(kind: str, text: str, style: str = "yellow") -> None:
    """Prints one line beside the result, on stderr."""
    line = Text.assemble((f"{kind}: ", style), one_line(text))
    Console(stderr=True, highlight=False).print(line, soft_wrap=True)


@contextmanager
def warn_in_lines() -> Iterator[None]:
    """Within it, each warning is one line on stderr, without the place in the code."""

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        note("warning", str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        yield


def quiet_libraries() -> None:
    """Turns off the progress bars and hints of the libraries that load models."""
    import transformers

    # Said by transformers to what peft does, and of no use to whoever runs a command.
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing. is deprecated")
    logging: Any = transformers.utils.logging  # its functions have no types
    logging.disable_progress_bar()
    logging.set_verbosity_error()

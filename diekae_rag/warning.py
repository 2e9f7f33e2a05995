"""Warnings that point at the caller's own line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]

_PASSED_OVER = ("diekae_rag", "torch")


def warn(message: str) -> None:
    """Warns about a call into this package, at the line that made it."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None:
        frame, level = frame.f_back, level + 1
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _PASSED_OVER:
            break
    warnings.warn(message, stacklevel=level)

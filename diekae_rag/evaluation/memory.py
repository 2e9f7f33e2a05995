"""How much memory some work takes above what is held when it begins."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["PeakMemory", "peak_memory"]

_PROCESS = Path("/proc/self")


@dataclass(slots=True)
class PeakMemory:
    """The most that was held at any moment of a block, once it has ended.

    Args:
        measured_by: ``"cuda"``: torch's allocator on that device; ``"resident"``: pages of the
            whole process, as Linux counts them (VmHWM), with what was freed given back first;
            ``"nothing"``: this system tells neither.
        num_bytes: Above what was held when the block began; ``None`` if nothing measures it.
    """

    measured_by: str
    num_bytes: int | None = None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Watches a block of work. Model weights that are loaded already do not count.

    Args:
        device: Where the work is done.

    Example:
        >>> with peak_memory(torch.device("cpu")) as peak:
        ...     _ = torch.ones(1 << 24).sum()
        >>> peak.num_bytes is None or peak.num_bytes > 1 << 25
        True
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        peak = PeakMemory("cuda")
        yield peak
        torch.cuda.synchronize(device)
        peak.num_bytes = torch.cuda.max_memory_allocated(device) - before
    elif device.type == "cpu" and _forget_peak():
        resident = _status("VmRSS")
        peak = PeakMemory("resident")
        yield peak
        peak.num_bytes = max(0, _status("VmHWM") - resident)
    else:
        yield PeakMemory("nothing")


def _forget_peak() -> bool:
    """Gives freed memory back and sets the process's peak to what it holds; false if it cannot."""
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    """A figure of ``/proc/self/status``, in bytes."""
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:"))

"""The most memory that some work takes: of a GPU, or of the whole process."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch

__all__ = ["PeakMemory"]

_PROCESS = Path("/proc/self")


class PeakMemory:
    """Watches memory from when this is made; weights that are loaded already do not count.

    Args:
        device: Where the work is done.

    Example:
        >>> memory = PeakMemory(torch.device("cpu"))
        >>> _ = torch.ones(1 << 24).sum()
        >>> memory.above > 1 << 25 or memory.measured_by == "lifetime"
        True
    """

    measured_by: str
    """``"cuda"``: torch's allocator on that device; ``"resident"``: pages of the whole process as
    Linux counts them, with what was freed given back first; ``"lifetime"``: the process's peak
    since it began, which is all that other systems tell."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()
        self._before = self.peak

    def restart(self) -> None:
        """Forgets the peak so far; ``above`` still counts from where this began."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self.measured_by = "cuda"
        else:
            self.measured_by = "resident" if _forget_peak() else "lifetime"

    @property
    def peak(self) -> int:
        """Most bytes held at once, everything counted."""
        if self.measured_by == "cuda":
            torch.cuda.synchronize(self.device)
            return int(torch.cuda.max_memory_allocated(self.device))
        if self.measured_by == "resident":
            lines = (_PROCESS / "status").read_text().splitlines()
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    @property
    def above(self) -> int:
        """Bytes above what was held when this began; of a lifetime's peak, how much it grew."""
        return max(0, self.peak - self._before)


def _forget_peak() -> bool:
    """Gives freed memory back and sets the process's peak to what it holds; false if it cannot."""
    with suppress(OSError, AttributeError):  # only glibc has it; others give it back themselves
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True

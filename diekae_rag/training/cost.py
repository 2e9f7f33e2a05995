"""What training took: seconds, memory, weights."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch

from diekae_rag.files import write_json

__all__ = ["peak_memory", "start_peak_memory", "write_cost"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start_peak_memory(device: torch.device) -> None:
    """Forgets the peak so far, where the system lets us."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _RESET.write_text("5")
    except OSError:
        return  # the peak is then that of the whole process's life


def peak_memory(device: torch.device) -> int:
    """Most bytes held at once: of the device's memory, or of the whole process's."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():
        lines = _STATUS.read_text().splitlines()
        high = next((line for line in lines if line.startswith("VmHWM:")), None)
        if high is not None:
            return int(high.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def write_cost(folder: Path, device: torch.device, seconds: float, trainable_weights: int) -> None:
    """Writes ``cost.json``: of a run in parts, the highest peak and all the seconds."""
    place = folder / "cost.json"
    peak = peak_memory(device)
    if place.exists():
        was: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        peak = max(peak, int(was["peak_memory_bytes"]))
    cost = {
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak,
        "trainable_weights": trainable_weights,
        "device": str(device),
    }
    write_json(place, cost)

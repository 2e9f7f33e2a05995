"""What training took: seconds, memory, weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diekae_rag.files import write_json
from diekae_rag.memory import PeakMemory

__all__ = ["write_cost"]


def write_cost(folder: Path, memory: PeakMemory, seconds: float, trainable_weights: int) -> None:
    """Writes ``cost.json``: of a run in parts, the highest peak and all the seconds."""
    place = folder / "cost.json"
    peak = memory.peak
    if place.exists():
        was: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        peak = max(peak, int(was["peak_memory_bytes"]))
    cost = {
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak,
        "trainable_weights": trainable_weights,
        "device": str(memory.device),
    }
    write_json(place, cost)

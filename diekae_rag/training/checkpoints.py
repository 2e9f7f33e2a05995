"""A stopped run's weights and optimiser state: safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from diekae_rag.files import new_folder, write_json

__all__ = [
    "newest_checkpoint",
    "read_state",
    "read_weights",
    "save_checkpoint",
    "saved_progress",
]


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint of the latest step in a run's folder."""
    return max(folder.glob("checkpoints/step-*"), default=None)


def saved_progress(folder: Path) -> dict[str, Any]:
    """What was saved with the latest checkpoint; empty where there is none."""
    place = newest_checkpoint(folder)
    if place is None:
        return {}
    progress: dict[str, Any] = json.loads((place / "progress.json").read_text())
    return progress


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    progress: Mapping[str, Any],
    *,
    num_kept: int = 1,
) -> Path:
    """Writes a checkpoint, and only then removes the oldest.

    Args:
        folder: The run's; the checkpoint goes to ``checkpoints/step-<step>`` in it.
        weights: The trained weights.
        state: What their optimisers keep.
        progress: JSON values; ``step`` among them.
        num_kept: How many checkpoints stay.
    """
    place = folder / "checkpoints" / f"step-{progress['step']:08d}"
    with new_folder(place) as temporary:
        for name, tensors in (("weights", weights), ("optimizer", state)):
            whole = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
            save_file(whole, temporary / f"{name}.safetensors")
        write_json(temporary / "progress.json", dict(progress))
    for old in sorted(folder.glob("checkpoints/step-*"))[:-num_kept]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def read_weights(place: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A checkpoint's weights.

    Args:
        place: The checkpoint.
        shapes: What they must be.

    Raises:
        ValueError: The checkpoint is of other weights.
    """
    weights = load_file(place / "weights.safetensors")
    if {name: tuple(w.shape) for name, w in weights.items()} != shapes:
        raise ValueError(
            f"the checkpoint in {place} is of other weights than these; "
            "start in another folder, or remove it."
        )
    return weights


def read_state(place: Path) -> dict[str, Tensor]:
    """What a checkpoint's optimisers keep."""
    return load_file(place / "optimizer.safetensors")

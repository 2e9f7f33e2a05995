"""A stopped run's weights and optimiser state: safetensors and JSON, no pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diekae_rag.files import new_folder, write_json

__all__ = [
    "load_checkpoint",
    "load_weights",
    "newest_checkpoint",
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
    parameters: Mapping[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Mapping[str, Any],
    *,
    num_kept: int = 1,
) -> Path:
    """Writes a checkpoint, and only then removes the oldest.

    Args:
        folder: The run's; the checkpoint goes to ``checkpoints/step-<step>`` in it.
        parameters: The trained weights.
        optimizers: Their optimisers.
        progress: JSON values; ``step`` among them.
        num_kept: How many checkpoints stay.
    """
    state: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                state[f"{number}/{index}/{name}"] = torch.as_tensor(value).contiguous()
    place = folder / "checkpoints" / f"step-{progress['step']:08d}"
    with new_folder(place) as temporary:
        weights = {name: p.detach().contiguous() for name, p in parameters.items()}
        save_file(weights, temporary / "weights.safetensors")
        save_file(state, temporary / "optimizer.safetensors")
        write_json(temporary / "progress.json", dict(progress))
    for old in sorted(folder.glob("checkpoints/step-*"))[:-num_kept]:
        shutil.rmtree(old, ignore_errors=True)
    return place


@torch.no_grad()
def load_weights(place: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Puts a checkpoint's weights back.

    Raises:
        ValueError: The checkpoint is of other weights.
    """
    weights = load_file(place / "weights.safetensors")
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    if {name: tuple(w.shape) for name, w in weights.items()} != shapes:
        raise ValueError(
            f"the checkpoint in {place} is of other weights than these; "
            "start in another folder, or remove it."
        )
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])


def load_checkpoint(
    folder: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
) -> dict[str, Any]:
    """Puts weights and optimiser state back and gives the progress that was saved with them.

    Returns:
        The saved progress; empty where there is no checkpoint.

    Raises:
        ValueError: The checkpoint is of other weights.
    """
    place = newest_checkpoint(folder)
    if place is None:
        return {}
    load_weights(place, parameters)
    saved = load_file(place / "optimizer.safetensors")
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.items():
            owner, index, name = key.split("/")
            if int(owner) == number:
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return saved_progress(folder)

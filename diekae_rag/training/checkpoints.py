"""A stopped run's weights and optimiser state: safetensors and JSON, no pickle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diekae_rag.files import new_folder, write_json

__all__ = ["load_checkpoint", "save_checkpoint"]


def save_checkpoint(
    folder: Path,
    parameters: dict[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
    progress: dict[str, Any],
) -> None:
    """Writes a checkpoint in place of the one before it; a kill leaves one of the two."""
    state: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                state[f"{number}/{index}/{name}"] = torch.as_tensor(value).contiguous()
    with new_folder(folder) as temporary:
        weights = {name: p.detach().contiguous() for name, p in parameters.items()}
        save_file(weights, temporary / "weights.safetensors")
        save_file(state, temporary / "optimizer.safetensors")
        write_json(temporary / "progress.json", progress)


@torch.no_grad()
def load_checkpoint(
    folder: Path,
    parameters: dict[str, nn.Parameter],
    optimizers: Sequence[torch.optim.Optimizer],
) -> dict[str, Any]:
    """Puts weights and optimiser state back and gives the progress that was saved with them.

    Returns:
        The saved progress; empty where there is no checkpoint.

    Raises:
        ValueError: The checkpoint is of other weights.
    """
    if not (folder / "progress.json").exists():
        return {}
    weights = load_file(folder / "weights.safetensors")
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    if {name: tuple(w.shape) for name, w in weights.items()} != shapes:
        raise ValueError(
            f"the checkpoint in {folder} is of other weights than these; "
            "start in another folder, or remove it."
        )
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
    saved = load_file(folder / "optimizer.safetensors")
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in saved.items():
            owner, index, name = key.split("/")
            if int(owner) == number:
                state.setdefault(int(index), {})[name] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    progress: dict[str, Any] = json.loads((folder / "progress.json").read_text())
    return progress

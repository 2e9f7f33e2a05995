"""What distillation asks of the base model, computed once and kept on disk.

The encoders are then trained with no base model in memory, any number of epochs for the price of
one reading.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import Progress
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from diekae_rag.encoders import Encoders
from diekae_rag.errors import TrainingError
from diekae_rag.files import new_files, new_folder, write_json
from diekae_rag.training.base import BaseParts
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.ends import save_ends
from diekae_rag.training.examples import Examples
from diekae_rag.training.stages import build_objective
from diekae_rag.training.targets import SHARD, TargetStore, shard_name

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["dump_targets", "dumped_size", "ensure_targets"]

_BYTES = 2  # bfloat16


def ensure_targets(
    examples: Examples,
    name: str,
    encoders: Encoders,
    base: Callable[[], PreTrainedModel],
    folder: Path,
    accelerator: Accelerator,
    *,
    show_progress: bool = True,
) -> TargetStore:
    """The targets of a stage, dumped first where they are not on disk yet.

    Args:
        examples: The records; their batches hold the stuffed rows too.
        name: ``"distill"`` or ``"differences"``.
        encoders: Whose config decides what is kept; their weights do not matter.
        base: Gives the base model; only called where something has to be dumped.
        folder: Where the targets are or go.
        accelerator: Device and processes; each of these takes its share.
        show_progress: Draw a progress bar on stderr.

    Raises:
        ValueError: The folder holds targets of something else.
        TrainingError: They do not fit the disk.
    """
    if not (folder / "targets.json").exists():
        with build_objective(name, BaseParts(base()), encoders) as objective:
            assert isinstance(objective, Outputs | Differences)
            process = accelerator.process_index, accelerator.num_processes
            with accelerator.autocast():
                dump_targets(
                    examples, objective, folder, process=process, show_progress=show_progress
                )
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                _finish(examples, objective, name, folder)
            accelerator.wait_for_everyone()
    return TargetStore(folder).check(name, examples.fingerprint(encoders.config))


def dumped_size(examples: Examples, objective: Outputs | Differences) -> int:
    """Bytes that the targets of all rows take.

    The ends of the base model, written beside them, are not counted.
    """
    config = objective.encoders.config
    num_kinds = 2 if isinstance(objective, Outputs) else len(config.layers)
    positions = 0
    for row in range(len(examples.episodes)):
        batch = examples.pack([examples.episodes[row]], is_stuffed=False)
        positions += int(objective.positions(batch.injected.questions).sum())
    return positions * num_kinds * config.base_hidden_size * _BYTES


def dump_targets(
    examples: Examples,
    objective: Outputs | Differences,
    folder: str | Path,
    *,
    batch_size: int = 8,
    process: tuple[int, int] = (0, 1),
    show_progress: bool = True,
) -> None:
    """Computes the targets of every row once; a dump that was stopped goes on.

    Args:
        examples: The records.
        objective: Whose targets.
        folder: Where they go, with the base model's two ends.
        batch_size: Rows read at once.
        process: Which of how many processes this one is; each takes its share of the files.
        show_progress: Draw a progress bar on stderr.

    Raises:
        ValueError: On-policy differences, which change as the encoders do.
        TrainingError: There is not room enough on the disk, before or while writing. What is
            written stays, and the next call goes on from there.
    """
    folder = Path(folder)
    if isinstance(objective, Differences) and objective.is_on_policy:
        raise ValueError(
            "on-policy differences depend on the encoders and cannot be kept; take off-policy "
            "ones, or train with the base model in memory."
        )
    folder.mkdir(parents=True, exist_ok=True)
    num_shards = -(-len(examples.episodes) // SHARD)
    missing = [n for n in range(num_shards) if not (folder / shard_name(n)).exists()]
    _check_room(folder, dumped_size(examples, objective) * len(missing) // max(1, num_shards))
    own = [number for number in missing if number % process[1] == process[0]]
    with Progress(console=Console(stderr=True), disable=not show_progress) as bar:
        task = bar.add_task("targets", total=len(own))
        for number in own:
            rows = range(number * SHARD, min((number + 1) * SHARD, len(examples.episodes)))
            shard: dict[str, Tensor] = {}
            for first in range(0, len(rows), batch_size):
                shard |= _targets_of(examples, objective, rows[first : first + batch_size])
            _write(shard, folder, number)
            bar.advance(task)


def _finish(
    examples: Examples, objective: Outputs | Differences, name: str, folder: str | Path
) -> None:
    """Writes the base model's ends and, last, what says that the dump is complete."""
    folder = Path(folder)
    with new_folder(folder / "ends") as temporary:
        save_ends(objective.base.model, temporary)
    names = ["stuffed", "bare"]
    if isinstance(objective, Differences):
        names = [str(layer) for layer in objective.encoders.config.layers]
    fingerprint = examples.fingerprint(objective.encoders.config)
    manifest = {"objective": name, "names": names, "fingerprint": fingerprint, "dtype": "bfloat16"}
    write_json(folder / "targets.json", manifest)


def _targets_of(
    examples: Examples, objective: Outputs | Differences, rows: Sequence[int]
) -> dict[str, Tensor]:
    batch = examples.pack([examples.episodes[row] for row in rows], is_stuffed=True)
    batch = batch.to(objective.base.device)
    sizes = objective.positions(batch.injected.questions).sum(1).tolist()
    found = objective.targets(batch)
    return {
        f"{row}/{name}": part.to(torch.bfloat16).cpu().clone()
        for name, tensor in found.items()
        for row, part in zip(rows, torch.split(tensor, sizes), strict=True)
    }


def _write(shard: Mapping[str, Tensor], folder: Path, number: int) -> None:
    try:
        with new_files(folder) as temporary:
            save_file(dict(shard), temporary / shard_name(number))
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the targets cannot be written to {folder} ({error}). What is written stays: make "
            "room and start again, and the dump goes on."
        ) from error


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise TrainingError(
            f"the targets take {size / 1e9:.1f} GB more, and {folder} has {free / 1e9:.1f} GB "
            "free. Name a folder on another disk, take fewer records or layers, or train with the "
            "base model in memory."
        )

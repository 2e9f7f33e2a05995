"""What distillation asks of the base model, read back from disk.

Axes: D width of the base model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diekae_rag.errors import TrainingError

__all__ = ["SHARD", "TargetStore", "digest", "shard_name"]

SHARD = 64
"""Rows in a file: what is lost where a dump is stopped."""


class TargetStore:
    """Targets on disk, by the number of their row.

    Args:
        folder: As ``dump_targets`` left it.

    Raises:
        FileNotFoundError: There is no complete dump.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self.folder / "targets.json"
        if not manifest.exists():
            raise FileNotFoundError(f"{self.folder} holds no complete dump of targets.")
        self.manifest: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        self._shards: dict[int, Any] = {}

    def check(self, objective: str, fingerprint: str) -> Self:
        """Refuses to train on what was dumped of other records, or for another stage.

        Raises:
            ValueError: It was.
        """
        was = self.manifest
        if was["objective"] != objective or was["fingerprint"] != fingerprint:
            raise ValueError(
                f"the targets in {self.folder} are those of {was['objective']!r} on other records, "
                f"wording, limits or layers than this run's {objective!r}; name another folder, or "
                "remove it."
            )
        return self

    def gather(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The targets of several rows, one after the other, ``[positions, D]`` each.

        Raises:
            TrainingError: A file of them is missing or damaged.
        """
        try:
            parts = [
                {name: self._shard(row // SHARD).get_tensor(f"{row}/{name}") for name in self.names}
                for row in rows
            ]
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"the targets in {self.folder} are damaged ({error}); remove the folder and dump "
                "them again."
            ) from error
        return {name: torch.cat([part[name] for part in parts]) for name in self.names}

    @property
    def names(self) -> list[str]:
        """What there is for each row."""
        names: list[str] = self.manifest["names"]
        return names

    def _shard(self, number: int) -> Any:
        if number not in self._shards:
            path = self.folder / shard_name(number)
            self._shards[number] = safe_open(path, framework="pt")
        return self._shards[number]


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def shard_name(number: int) -> str:
    """The name of a file of targets."""
    return f"targets-{number:06d}.safetensors"

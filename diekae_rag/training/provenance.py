"""Where a run comes from: its plan, its data, its code and its machine, beside its results."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from diekae_rag.files import write_json
from diekae_rag.training.plan import TrainingPlan

__all__ = ["check_plan", "describe_data", "describe_environment", "write_provenance"]

_PACKAGES = ("diekae-rag", "torch", "transformers", "accelerate", "peft", "safetensors")
_MAY_CHANGE = ("checkpoint_every", "num_checkpoints", "log_with", "device_map", "is_compiled")


def describe_data(files: Sequence[str], counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each file's path, size, SHA-256 and number of records."""
    described = []
    for name in files:
        digest = hashlib.sha256()
        with Path(name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        described.append(
            {
                "file": name,
                "bytes": Path(name).stat().st_size,
                "sha256": digest.hexdigest(),
                "records": counts[name],
            }
        )
    return described


def describe_environment() -> dict[str, Any]:
    """Versions, machine, and the revision of the code that the run was started in."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    cuda = torch.cuda.is_available()
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "git": _git(),
    }


def write_provenance(folder: Path, plan: TrainingPlan, data: Mapping[str, Any]) -> None:
    """Writes ``plan.json``, ``data.json`` and ``environment.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "environment.json", describe_environment())
    write_json(folder / "data.json", dict(data))
    write_json(folder / "plan.json", plan.to_dict())


def check_plan(was: Mapping[str, Any], plan: TrainingPlan, folder: Path) -> None:
    """Refuses to go on with a run that was begun otherwise; stages may be added at the end.

    Raises:
        ValueError: Its plan was another.
    """
    now = plan.to_dict()
    differing = [
        name for name in now if name not in (*_MAY_CHANGE, "stages") and was.get(name) != now[name]
    ]
    done = list(was.get("stages", ()))
    if done != list(now["stages"])[: len(done)]:
        differing.append("stages")
    if differing:
        name = differing[0]
        raise ValueError(
            f"the run in {folder} was begun with {name} = {was.get(name)!r} and not "
            f"{now[name]!r}; start in another folder, or go on as it was begun."
        )


def _git() -> dict[str, Any] | None:
    """Revision of the working folder, and whether it was changed since; nothing without git."""
    if (git := shutil.which("git")) is None:
        return None

    def ask(*arguments: str) -> str | None:
        answer = subprocess.run([git, *arguments], capture_output=True, text=True, check=False)
        return answer.stdout.strip() if answer.returncode == 0 else None

    revision = ask("rev-parse", "HEAD")
    if not revision:
        return None
    return {"revision": revision, "is_changed": bool(ask("status", "--porcelain"))}

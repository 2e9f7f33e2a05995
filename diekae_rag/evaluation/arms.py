"""The arms of an evaluation: one reader, and the ways in which it can come by its knowledge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoModelForCausalLM

from diekae_rag.answers import Mode
from diekae_rag.locations import locate
from diekae_rag.model import DiekaeModel

__all__ = ["ARMS", "Arm", "distilled_folder", "load_arms"]

ARMS: dict[str, Mode] = {
    "none": "none",
    "stuff": "stuff",
    "inject": "inject",
    "inject_distilled": "inject",
    "combine": "combine",
}
"""Every arm, and the mode it answers in. Only ``inject_distilled`` has encoders of its own: those
of the stage before fine-tuning."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A name, a model, and the mode in which it answers."""

    name: str
    model: DiekaeModel
    mode: Mode


def distilled_folder(name_or_path: str) -> Path | None:
    """Where the encoders before fine-tuning lie: in ``<folder>_distilled``, if anywhere."""
    folder = locate(name_or_path).folder
    if folder is None:
        return None
    beside = folder.resolve().with_name(f"{folder.resolve().name}_distilled")
    return beside if (beside / "config.json").exists() else None


def load_arms(name_or_path: str = "demo", names: Sequence[str] = tuple(ARMS)) -> list[Arm]:
    """Loads a model for each arm; all but one of them share it.

    The distilled encoders get a base model of their own, because one base model holds one set of
    encoders. Where there are none, that arm is left out.

    Args:
        name_or_path: As for ``DiekaeModel.from_pretrained``.
        names: Which arms, of ``ARMS``.

    Raises:
        ValueError: An arm that does not exist.
        FileNotFoundError: There are no such encoders.
    """
    if unknown := [name for name in names if name not in ARMS]:
        raise ValueError(f"there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}.")
    model = DiekaeModel.from_pretrained(name_or_path)
    arms = []
    for name in dict.fromkeys(names):
        if name != "inject_distilled":
            arms.append(Arm(name, model, ARMS[name]))
        elif folder := distilled_folder(name_or_path):
            arms.append(Arm(name, _distilled(name_or_path, folder, model), ARMS[name]))
    return arms


def _distilled(name_or_path: str, folder: Path, model: DiekaeModel) -> DiekaeModel:
    base_name, revision = locate(name_or_path).base(model.encoders.config)
    base = AutoModelForCausalLM.from_pretrained(base_name, revision=revision)
    return DiekaeModel.from_pretrained(folder, base=base, tokenizer=model.tokenizer)

"""The arms of an evaluation: one reader, and the ways in which it can come by its knowledge."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel

from diekae_rag.answers import Mode
from diekae_rag.evaluation.tuned import load_full, load_lora
from diekae_rag.files import STATES_FILE
from diekae_rag.locations import locate
from diekae_rag.model import DiekaeModel
from diekae_rag.states.kept import KeptStates

__all__ = ["ARMS", "Arm", "load_arms", "stage_folder"]

ARMS: dict[str, Mode] = {
    "none": "none",
    "stuff": "stuff",
    "inject": "inject",
    "inject_int8": "inject",
    "inject_distilled": "inject",
    "inject_warmup": "inject",
    "combine": "combine",
    "lora": "stuff",
    "full": "stuff",
}
"""Every arm, and the mode it answers in. ``inject_distilled`` and ``inject_warmup`` have encoders
as those stages left them; ``inject_int8`` keeps what it reads in a file of that precision, and
answers from there; ``lora`` and ``full`` have another base model, trained to read what is
stuffed."""

_USUAL = tuple(name for name in ARMS if name != "inject_int8")
_STAGES = {"inject_distilled": ("distill", "differences"), "inject_warmup": ("warmup",)}


@dataclass(frozen=True, slots=True)
class Arm:
    """A name, a model, and the mode in which it answers.

    Args:
        name: What tables call it.
        model: Who answers.
        mode: Which way the passages go.
        trainable_weights: How many numbers were trained for it.
        folder: Where they were saved, and maybe what training them cost.
        states: Where it keeps what it reads, if it does.
    """

    name: str
    model: DiekaeModel
    mode: Mode
    trainable_weights: int = 0
    folder: Path | None = None
    states: KeptStates | None = None


def stage_folder(name_or_path: str, arm: str) -> Path | None:
    """Where the encoders of an earlier stage lie, if anywhere.

    In ``<folder>_distilled`` or ``<folder>_warmup``, or where a training run keeps each stage's.

    Args:
        name_or_path: As for ``DiekaeModel.from_pretrained``.
        arm: ``"inject_distilled"`` or ``"inject_warmup"``.
    """
    folder = locate(name_or_path).folder
    if folder is None:
        return None
    folder = folder.resolve()
    beside = folder.with_name(f"{folder.name}_{arm.removeprefix('inject_')}")
    places = [beside, *(folder.parent / stage / "encoders" for stage in _STAGES[arm])]
    return next((place for place in places if (place / "config.json").exists()), None)


def load_arms(
    name_or_path: str = "demo",
    names: Sequence[str] = _USUAL,
    *,
    lora: str | os.PathLike[str] | None = None,
    full: str | os.PathLike[str] | None = None,
    **base_options: Any,
) -> list[Arm]:
    """Loads a model for each arm; those that differ in the mode alone share it.

    The encoders of earlier stages get base models of their own, because one base model holds one
    set of encoders; so do the arms with other weights. Where there are none, that arm is left out.

    Args:
        name_or_path: As for ``DiekaeModel.from_pretrained``.
        names: Which arms, of ``ARMS``; by default all but ``inject_int8``.
        lora: A folder of adapters for the base model, saved by PEFT.
        full: A folder with the base model's weights after training all of them.
        **base_options: Given to ``AutoModelForCausalLM.from_pretrained`` (``dtype``,
            ``device_map``, ...), alike for every arm.

    Raises:
        ValueError: An arm that does not exist, or weights for one that is not wanted.
        FileNotFoundError: There are no such encoders, adapters or weights.
    """
    if unknown := [name for name in names if name not in ARMS]:
        raise ValueError(f"there is no arm {unknown[0]!r}; there are {', '.join(ARMS)}.")
    for name, folder in {"lora": lora, "full": full}.items():
        if folder is not None and name not in names:
            raise ValueError(
                f"{os.fspath(folder)} is for the arm {name}, which is not among "
                f"{', '.join(names)}; add it, or leave the folder out."
            )
    model = DiekaeModel.from_pretrained(name_or_path, **base_options)
    encoders = sum(weight.numel() for weight in model.encoders.parameters())
    place = locate(name_or_path)
    base_name, revision = place.base(model.encoders.config)

    def new_base() -> PreTrainedModel:
        base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base_name, revision=revision, **base_options
        )
        return base

    def around(base: PreTrainedModel, folder: str | Path = name_or_path) -> DiekaeModel:
        return DiekaeModel.from_pretrained(folder, base=base, tokenizer=model.tokenizer)

    arms = []
    for name in dict.fromkeys(names):
        mode = ARMS[name]
        if name in _STAGES:
            if found := stage_folder(name_or_path, name):
                arms.append(Arm(name, around(new_base(), found), mode, encoders, found))
        elif name == "inject_int8":
            quantized = around(new_base())
            kept = quantized.keep_states(_new_file(quantized), dtype="int8", max_bytes=0)
            arms.append(Arm(name, quantized, mode, encoders, place.folder, kept))
        elif name == "lora":
            if lora is not None:
                base, count = load_lora(Path(lora), new_base())
                arms.append(Arm(name, around(base), mode, count, Path(lora)))
        elif name == "full":
            if full is not None:
                base, count = load_full(Path(full), **base_options)
                arms.append(Arm(name, around(base), mode, count, Path(full)))
        elif mode in ("inject", "combine"):
            arms.append(Arm(name, model, mode, encoders, place.folder))
        else:
            arms.append(Arm(name, model, mode))
    return arms


def _new_file(model: DiekaeModel) -> Path:
    """A place for a file that is gone with the model."""
    folder = tempfile.TemporaryDirectory()
    weakref.finalize(model, folder.cleanup)
    return Path(folder.name) / STATES_FILE

"""Edits that are in weights: those of a set of encoders that reads the prompt alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diekae_rag.editing.edit import Edit
from diekae_rag.editing.errors import EditsError
from diekae_rag.files import new_folder, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from diekae_rag.editing.current import CurrentEdits
    from diekae_rag.encoders import Encoders

__all__ = ["WRITING", "WRITTEN", "CurrentWritten", "WrittenEdits", "base_fingerprint"]

WRITTEN, WRITING = "written", "writing-"
"""In a folder of edits: where weights are, and how the folder of an unfinished training begins."""
_FILE = "written.json"
_ROWS = 64


@dataclass(frozen=True, eq=False)
class WrittenEdits:
    """What was trained, of which edits, and for which base model.

    Args:
        encoders: A set with ``knowledge_in="weights"``.
        edits: The edits that it was trained on.
        base: The ``base_fingerprint`` of the base model.
        seconds: How long it took.
    """

    encoders: Encoders
    edits: tuple[Edit, ...]
    base: str
    seconds: float = 0.0

    @cached_property
    def fingerprint(self) -> str:
        """Tells these weights from others, by what they were trained on and are."""
        digest = hashlib.sha256(json.dumps([e.to_dict() for e in self.edits]).encode())
        for name, weight in sorted(self.encoders.state_dict().items()):
            digest.update(f"{name} {weight.double().sum().item()!r}".encode())
        return digest.hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Writes them in place of those in a folder of edits."""
        with new_folder(folder / WRITTEN) as temporary:
            self.encoders.save_pretrained(temporary)
            edits = [edit.to_dict() for edit in self.edits]
            said = {"base": self.base, "seconds": self.seconds, "edits": edits}
            write_json(temporary / _FILE, said)

    @classmethod
    def load(cls, folder: Path) -> WrittenEdits | None:
        """Reads those in a folder of edits; ``None`` where there are none.

        Raises:
            EditsError: They are damaged.
        """
        place = folder / WRITTEN
        if not (place / _FILE).exists():
            return None
        from diekae_rag.loading import load_encoders

        try:
            said = json.loads((place / _FILE).read_text(encoding="utf-8"))
            names = ("subject", "prompt", "old", "new", "id", "replaces")
            edits = tuple(Edit(*(row[name] for name in names)) for row in said["edits"])
            encoders = load_encoders(place)
            if encoders.config.knowledge_in != "weights":
                raise ValueError("these encoders read passages")
            return cls(encoders, edits, str(said["base"]), float(said["seconds"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EditsError(
                f"the edits written into weights in {place} are damaged ({error}); delete that "
                "folder, and they are read as passages again until they are written anew."
            ) from error


class CurrentWritten:
    """The edits that are in weights now, kept in step with a folder.

    The caller keeps threads from meeting here.

    Args:
        folder: That of the edits; ``None`` keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._written: WrittenEdits | None = None
        self._mark: tuple[int, int] | None = None
        self._checked: tuple[object, ...] = ()
        self._ids: frozenset[str] = frozenset()

    def get(self) -> WrittenEdits | None:
        """What there is, whether it counts or not."""
        while self.folder and (mark := _mark(self.folder / WRITTEN / _FILE)) != self._mark:
            try:
                self._written, self._mark = WrittenEdits.load(self.folder), mark
            except EditsError:
                if mark == _mark(self.folder / WRITTEN / _FILE):  # nobody wrote meanwhile
                    raise
        return self._written

    def set(self, written: WrittenEdits | None) -> None:
        """Puts others in their place, or nothing."""
        if self.folder is None:
            self._written = written
        elif written is not None:
            written.save(self.folder)
        else:
            (self.folder / WRITTEN / _FILE).unlink(missing_ok=True)  # without it, there are none
            shutil.rmtree(self.folder / WRITTEN, ignore_errors=True)

    def ids(self, now: CurrentEdits) -> frozenset[str]:
        """Which edits are answered from weights: all that were written, or none.

        What is in weights cannot be taken out one by one. So they count as long as each edit
        written into them is in force; from the moment that one is not, all are read as passages.
        """
        written = self.get()
        checked = (written, now.version)
        if checked != self._checked:
            found = [now.counting(edit) for edit in written.edits] if written else []
            is_whole = written is not None and all(
                edit is not None and edit.new == own.new
                for edit, own in zip(found, written.edits, strict=True)
            )
            self._ids = frozenset(edit.id for edit in found if edit) if is_whole else frozenset()
            self._checked = checked
        return self._ids


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return None
    return state.st_ino, state.st_mtime_ns


def base_fingerprint(base: PreTrainedModel) -> str:
    """Tells base models apart by shape and embeddings; one in float32 or bfloat16 is the same.

    Example:
        >>> from diekae_rag import DiekaeModel
        >>> len(base_fingerprint(DiekaeModel.from_pretrained("demo").base))
        16
    """
    from diekae_rag.families import input_embeddings

    weight = input_embeddings(base).weight
    step = max(1, len(weight) // _ROWS)
    rows = weight[::step].detach().to(device="cpu", dtype=torch.bfloat16).contiguous()
    config = base.config
    said = [config.model_type, *weight.shape, getattr(config, "num_hidden_layers", 0)]
    digest = hashlib.sha256(json.dumps(said).encode())
    digest.update(rows.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]

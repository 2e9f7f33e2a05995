"""Where a set of encoders and its base model are: a folder, a hub id, or the demo."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from diekae_rag.config import DiekaeConfig

__all__ = ["Location", "cache_folder", "demo_folder", "locate"]


def demo_folder() -> Path:
    """Where the reader that ships, and its encoders, lie in the installed package."""
    return Path(__file__).parent / "demo" / "weights"


def cache_folder() -> Path:
    """Where what can be had again is kept: ``$DIEKAE_CACHE`` or ``~/.cache/diekae_rag``."""
    named = os.environ.get("DIEKAE_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "diekae_rag"


@dataclass(frozen=True, slots=True)
class Location:
    """Where encoders are, and so where a base model named relative to them is."""

    encoders: str
    folder: Path | None

    def base(self, config: DiekaeConfig) -> tuple[str, str | None]:
        """Name or path, and revision, of the base model.

        Raises:
            ValueError: The config names none.
            FileNotFoundError: It names a folder that is not there.
        """
        name = config.base_model_name_or_path
        if not name:
            raise ValueError(
                f"the encoders in {self.encoders} name no base model; pass base= and tokenizer=."
            )
        if self.folder is not None and name.startswith("."):
            path = (self.folder / name).resolve()
            if not path.is_dir():
                raise FileNotFoundError(
                    f"the encoders in {self.encoders} belong to the base model in {path}, which is "
                    "not there; put it back, or pass base= and tokenizer=."
                )
            return str(path), None
        return name, config.base_model_revision


def locate(name_or_path: str | os.PathLike[str]) -> Location:
    """Finds a folder, or leaves a hub id to transformers.

    Raises:
        FileNotFoundError: It looks like a path and is not there, or is no folder of encoders.
    """
    name = os.fspath(name_or_path)
    path = demo_folder() / "encoders" if name == "demo" else Path(name)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise FileNotFoundError(f"{path} holds no encoders: config.json is not there.")
        return Location(str(path), path)
    if name == "demo":
        raise FileNotFoundError(
            f"the weights that ship are not in {path.parent}; reinstall the package, or make them "
            "with: diekae demo train"
        )
    is_path = not isinstance(name_or_path, str) or path.is_absolute() or name.startswith(".")
    if is_path or name.count("/") != 1 or path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path} and it is no hub id (owner/name).")
    return Location(name, None)

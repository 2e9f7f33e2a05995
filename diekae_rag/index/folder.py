"""A saved index: a folder of three or five files, written whole and checked when read.

``manifest.json`` says what the folder is and carries a SHA-256 of the others: ``passages.sqlite``
and ``vectors.npy``; with cells also ``centroids.npy`` and ``cells.npy``. The checksums find damage,
not malice; safety comes from formats that hold data only. Nothing in the folder can be executed by
reading it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from diekae_rag.files import STATES_FILE, new_folder, set_aside, taking_turns, write_json
from diekae_rag.index.cell_files import (
    CENTROIDS,
    NUMBERS,
    cells_as_arrays,
    cells_as_dict,
    read_cells,
)
from diekae_rag.index.cells import Cells
from diekae_rag.index.store import PassageStore

__all__ = [
    "IndexFolderError",
    "Manifest",
    "check_target",
    "read_index_folder",
    "write_index_folder",
]

FORMAT = "diekae_rag.PassageIndex"
VERSION = 3
_VERSION_WITHOUT_CELLS = 2
MANIFEST, PASSAGES, VECTORS = "manifest.json", "passages.sqlite", "vectors.npy"
_OURS = {MANIFEST, PASSAGES, VECTORS, CENTROIDS, NUMBERS, STATES_FILE}
_TRIES = 20
# What a manifest of an older format does not say yet.
_LATER: dict[int, dict[str, Any]] = {1: {"probe": {}, "cells": {}}, 2: {"cells": {}}}

Saved = tuple["Manifest", PassageStore, NDArray[np.float32], Cells | None]


class IndexFolderError(ValueError):
    """A folder that cannot be read as an index, or must not be replaced by one."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``manifest.json`` says.

    Args:
        embedder: Name of the embedder whose vectors these are.
        is_custom_embedder: True for an embedder object of the user's own, which no name can load.
        vector_size: Numbers in a vector; 0 before the first passage.
        count: Passages, and vectors.
        probe: A text and its vector, to know the embedder again; empty without passages.
        cells: What was measured when cells were made; empty without.
        files: SHA-256 of each other file, by name.
        format: Tells an index from other folders.
        version: Of the format; a newer one is refused.
    """

    embedder: str
    is_custom_embedder: bool
    vector_size: int
    count: int
    probe: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    format: str = FORMAT
    version: int = VERSION


def write_index_folder(
    folder: Path,
    manifest: Manifest,
    store: PassageStore,
    vectors: NDArray[np.float32],
    cells: Cells | None = None,
) -> None:
    """Writes an index beside ``folder``, then puts it in its place by renaming.

    An index that was there is moved aside first and deleted last: if anything fails it is moved
    back, and a crash in between leaves it, whole, under ``.<name>.previous``. Those who write at
    once take turns, and the last one's index stays.

    Raises:
        IndexFolderError: ``folder`` holds something that is not an index; nothing is touched.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with taking_turns(folder.parent):
        check_target(folder)
        with new_folder(folder) as fresh:
            _write(fresh, manifest, store, vectors, cells)
            _bring_along(folder / STATES_FILE, fresh)


def _write(
    fresh: Path,
    manifest: Manifest,
    store: PassageStore,
    vectors: NDArray[np.float32],
    cells: Cells | None,
) -> None:
    store.save(fresh / PASSAGES)
    arrays = {VECTORS: vectors} if cells is None else {VECTORS: vectors, **cells_as_arrays(cells)}
    for name, array in arrays.items():
        np.save(fresh / name, array, allow_pickle=False)
    content = asdict(manifest)
    content["files"] = {name: _sha256(fresh / name) for name in (PASSAGES, *arrays)}
    if cells is None:  # readers of the format before can read it
        content["version"] = _VERSION_WITHOUT_CELLS
        del content["cells"]
    else:
        content["cells"] = cells_as_dict(cells)
    write_json(fresh / MANIFEST, content)


def _bring_along(states: Path, fresh: Path) -> None:
    """The same file in another folder, so that whoever writes to it goes on doing so."""
    if not states.exists():
        return
    try:
        os.link(states, fresh / states.name)
    except OSError:  # a file system without links
        shutil.copy2(states, fresh / states.name)


def read_index_folder(folder: Path) -> Saved:
    """Reads and checks an index: every file against its checksum, every count against the others.

    Where another process saves to the folder meanwhile, what it held before or after is read, and
    never a mixture.

    Raises:
        IndexFolderError: The folder is missing, foreign, damaged, or of a newer format.
    """
    for _ in range(_TRIES):
        before = _stamp(folder)
        try:
            found = _read_once(folder)
        except IndexFolderError:
            is_being_replaced = before is None and set_aside(folder).is_dir()
            if _stamp(folder) == before and not is_being_replaced:
                raise
        else:
            if _stamp(folder) == before:
                return found
        time.sleep(0.05)
    return _read_once(folder)


def _stamp(folder: Path) -> tuple[int, int] | None:
    """Tells one save from another, also where both hold the same: each writes a new manifest."""
    try:
        status = (folder / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read_once(folder: Path) -> Saved:
    manifest = _read_manifest(folder)
    cell_files = (CENTROIDS, NUMBERS) if manifest.cells else ()
    for name in (PASSAGES, VECTORS, *cell_files):
        path = folder / name
        if not path.is_file():
            raise IndexFolderError(f"{folder} has no {name}; restore it, or build the index again.")
        try:
            digest = _sha256(path)
        except OSError as error:
            raise _damaged(folder, f"{name} cannot be read ({error})") from error
        if digest != manifest.files.get(name):
            raise _damaged(folder, f"{name} is not the file that was saved (its SHA-256 differs)")
    try:
        store = PassageStore.load(folder / PASSAGES)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise _damaged(folder, f"{PASSAGES} cannot be read ({error})") from error
    vectors = _read_array(folder, VECTORS)
    shape = (manifest.count, manifest.vector_size)
    if manifest.count and not manifest.vector_size:
        raise _damaged(folder, f"{MANIFEST} counts passages without a vector size")
    if vectors.dtype != np.float32 or vectors.shape != shape:
        raise _damaged(folder, f"{VECTORS} is not a float32 array of shape {shape}")
    if not np.isfinite(vectors).all():
        raise _damaged(folder, f"{VECTORS} holds values that are not finite")
    if len(store) != manifest.count:
        raise _damaged(folder, f"{PASSAGES} holds {len(store)} passages, not {manifest.count}")
    if not manifest.cells:
        return manifest, store, vectors, None
    arrays = {name: _read_array(folder, name) for name in cell_files}
    try:
        return manifest, store, vectors, read_cells(manifest.cells, arrays, shape)
    except ValueError as error:
        raise _damaged(folder, str(error)) from error


def _read_array(folder: Path, name: str) -> NDArray[Any]:
    try:
        array = np.load(folder / name, allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile, TokenError) as error:
        raise _damaged(folder, f"{name} cannot be read ({error})") from error
    if not isinstance(array, np.ndarray):
        raise _damaged(folder, f"{name} is no array")
    return array


def _read_manifest(folder: Path) -> Manifest:
    if not folder.is_dir():
        what = "is a file, not the folder of an index" if folder.exists() else "does not exist"
        aside = set_aside(folder)
        hint = f"an interrupted save left {aside}; rename it back" if aside.is_dir() else "save one"
        raise IndexFolderError(f"{folder} {what}; {hint}, or pass the folder of a saved index.")
    content = _manifest_content(folder)
    if content is None:
        raise IndexFolderError(
            f"{folder} is not a passage index (no {MANIFEST} that says so); "
            "pass a folder that PassageIndex.save wrote."
        )
    version = content.get("version")
    if type(version) is int and version > VERSION:
        raise IndexFolderError(
            f"{folder} has index format {version}, this diekae_rag reads {VERSION}; "
            "upgrade diekae_rag, or build the index again."
        )
    if type(version) is int:
        content = {**content, **_LATER.get(version, {})}
    types: dict[str, type] = {
        "version": int,
        "format": str,
        "embedder": str,
        "is_custom_embedder": bool,
        "vector_size": int,
        "count": int,
        "probe": dict,
        "cells": dict,
        "files": dict,
    }
    if set(content) != set(types) or any(type(content[k]) is not t for k, t in types.items()):
        raise _damaged(folder, f"{MANIFEST} lacks what it should say, or says more")
    return Manifest(**content)


def _manifest_content(folder: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("format") == FORMAT else None


def check_target(folder: Path) -> None:
    """Raises unless an index may be saved in a folder.

    Raises:
        IndexFolderError: It holds something that is not an index.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise IndexFolderError(f"{folder} is a file; save the index to a folder.")
    names = {path.name for path in folder.iterdir()}
    if names and _manifest_content(folder) is None:
        raise IndexFolderError(
            f"{folder} is not empty and is not a passage index; save to another folder."
        )
    if strangers := sorted(names - _OURS):
        raise IndexFolderError(
            f"{folder} also holds {strangers[0]!r}, which saving would delete; move it away first."
        )


def _damaged(folder: Path, what: str) -> IndexFolderError:
    return IndexFolderError(f"the index in {folder} is damaged: {what}; build it again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""A folder of edits: ``edits.sqlite`` with every change, and vectors in safetensors.

Vectors can be made anew from the edits, and so can ``written``, the weights that edits were trained
into: only the first file must not be lost.
"""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.store import EDITS_FILE, EditStore
from diekae_rag.editing.written import WRITING, WRITTEN
from diekae_rag.files import new_folder, set_aside, taking_turns

if TYPE_CHECKING:
    from diekae_rag.editing.current import CurrentEdits
    from diekae_rag.editing.written import WrittenEdits

__all__ = ["open_store", "save_edits"]

_OURS = re.compile(
    rf"\.?({re.escape(EDITS_FILE)}|vectors-|{WRITTEN}(\.|$)|{WRITING}[0-9a-f]{{16}}(\.|$))"
)


def open_store(folder: Path, *, must_exist: bool = False) -> EditStore:
    """Opens the edits of a folder; where it is empty or missing, there are none yet.

    Raises:
        EditsError: It holds something else, or what it holds is damaged.
    """
    folder = Path(os.path.realpath(folder))
    path = folder / EDITS_FILE
    if not path.exists():
        if (aside := set_aside(folder)).is_dir():
            raise EditsError(
                f"{folder} holds no edits; an interrupted save left {aside}: rename it back."
            )
        if must_exist:
            raise EditsError(f"{folder} holds no edits; pass a folder that edits were saved in.")
        _check_free(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return EditStore(path)


def save_edits(edits: CurrentEdits, written: WrittenEdits | None, folder: Path) -> None:
    """Writes edits to a folder, in place of those that were there.

    Whoever writes there takes turns with this.

    Raises:
        EditsError: It holds something else than edits; nothing is touched.
    """
    folder = Path(os.path.realpath(folder))
    if folder == edits.folder:
        return  # every change is there already
    if (folder.parent / EDITS_FILE).exists():
        raise EditsError(f"{folder.parent} holds edits itself; save to a folder outside of it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as turns:
        turns.enter_context(taking_turns(folder.parent))
        _check_free(folder)
        if (folder / EDITS_FILE).exists():
            turns.enter_context(taking_turns(folder))
            EditStore(folder / EDITS_FILE).close()  # edits, and no other SQLite file
        with new_folder(folder) as fresh:
            edits.store.copy_to(fresh / EDITS_FILE)
            edits.vectors.save_to(fresh)
            if written is not None:
                written.save(fresh)


def _check_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise EditsError(f"{folder} is a file; edits are kept in a folder.")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if strangers := sorted(name for name in names if not _OURS.match(name)):
        raise EditsError(
            f"{folder} holds {strangers[0]!r}, which is none of edits; choose another folder."
        )

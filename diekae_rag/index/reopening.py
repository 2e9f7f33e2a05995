"""Which embedder may read a saved index."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.embedder import MINILM, Embedder, unit_vectors
from diekae_rag.index.folder import IndexFolderError, Manifest

__all__ = ["check_embedder", "embedder_named"]

_LOADABLE_BY_NAME = re.compile(r"(sentence-transformers/)?[A-Za-z0-9][\w.-]*")
_SAME_WITHIN = 0.01


def embedder_named(manifest: Manifest, folder: Path) -> str:
    """Returns the name in a manifest, if a name in somebody's folder may choose what is loaded.

    That is ``"minilm"`` and the models of the sentence-transformers organisation: never a local
    path, and no other hub repository.

    Raises:
        IndexFolderError: The user has to pass the embedder.

    Example:
        >>> embedder_named(Manifest("all-mpnet-base-v2", False, 768, 9), Path("index"))
        'all-mpnet-base-v2'
    """
    name = manifest.embedder
    if manifest.is_custom_embedder:
        what = "an embedder object that no name can load"
    elif name == MINILM or (_LOADABLE_BY_NAME.fullmatch(name) and not Path(name).exists()):
        return name
    else:
        what = "a path or a hub model that is not loaded unasked"
    raise IndexFolderError(
        f"the index in {folder} was built with {name!r}, {what}; "
        "pass it: PassageIndex.load(folder, embedder=...)."
    )


def check_embedder(
    embedder: Embedder, manifest: Manifest, folder: Path, text: str, stored: NDArray[np.float32]
) -> None:
    """Makes sure that an embedder turns a stored passage into its stored vector.

    A name proves nothing (a folder and a hub name can be the same model); the vector does.

    Raises:
        IndexFolderError: It does not, so that every search would be noise.
    """
    (vector,) = unit_vectors(embedder, [text])
    if vector.shape != stored.shape or np.abs(vector - stored).max() > _SAME_WITHIN:
        raise IndexFolderError(
            f"the vectors in {folder} ({stored.size} numbers each) were made by "
            f"{manifest.embedder!r}; {embedder.name!r} ({vector.size} numbers) reads the same "
            "passage otherwise. Load with the first, or build the index again."
        )

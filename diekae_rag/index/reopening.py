"""Which embedder may read a saved index."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.embedder import MINILM, Embedder, as_embedder
from diekae_rag.index.folder import IndexFolderError, Manifest
from diekae_rag.index.given import GivenVectors
from diekae_rag.index.probe import Probe
from diekae_rag.index.store import PassageStore

__all__ = ["embedder_named", "opening_embedder", "opening_probe"]

_LOADABLE_BY_NAME = re.compile(r"(sentence-transformers/)?[A-Za-z0-9][\w.-]*")


class UnnamedEmbedderError(IndexFolderError):
    """A sound index whose embedder has to be passed."""


def embedder_named(manifest: Manifest, folder: Path) -> str:
    """Returns the name in a manifest, if a name in somebody's folder may choose what is loaded.

    That is ``"minilm"`` and the models of the sentence-transformers organisation: never a local
    path, and no other hub repository.

    Raises:
        UnnamedEmbedderError: The user has to pass the embedder.

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
    raise UnnamedEmbedderError(
        f"the index in {folder} was built with {name!r}, {what}; "
        "pass it when you open the folder, as in PassageIndex.load(folder, embedder=...)."
    )


def opening_embedder(
    given: Embedder | None, manifest: Manifest, folder: Path, takes_vectors: bool
) -> Embedder:
    """Chooses the embedder of a loaded index: the user's, the one that is named, or none.

    Raises:
        UnnamedEmbedderError: There is neither, and the caller will not pass vectors.
    """
    if given is not None:
        return given
    try:
        return as_embedder(embedder_named(manifest, folder))
    except UnnamedEmbedderError:
        if not takes_vectors:
            raise
        return GivenVectors(manifest.embedder)


def opening_probe(
    given: Embedder | None,
    manifest: Manifest,
    folder: Path,
    store: PassageStore,
    vectors: NDArray[np.float32],
) -> Probe | None:
    """Reads a loaded index's probe, and makes sure that the user's embedder made the vectors.

    Raises:
        IndexFolderError: There is no sound probe; or it is another embedder, so that every search
            would be noise.
    """
    if not len(vectors):
        return None
    if manifest.version == 1:
        probe = Probe(store.passage(store.all_rows()[0]).text, vectors[0])
    else:
        try:
            probe = Probe.read(manifest.probe, manifest.vector_size)
        except ValueError as error:
            raise IndexFolderError(
                f"the index in {folder} is damaged: {error}; build it again."
            ) from error
    if given is None or isinstance(given, GivenVectors):
        return probe
    reading = probe.reading(given)
    if not probe.is_like(reading):
        raise IndexFolderError(
            f"the vectors in {folder} ({probe.vector.size} numbers each) were made by "
            f"{manifest.embedder!r}; {given.name!r} ({reading.size} numbers) reads the same "
            "text otherwise. Load with the first, or build the index again."
        )
    return probe

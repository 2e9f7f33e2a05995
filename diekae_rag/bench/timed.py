"""What builds an index and its states, as it is, but for a stopwatch that runs along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diekae_rag.bench.answering.by_hand import wait_for
from diekae_rag.bench.stopwatch import Stopwatch
from diekae_rag.index import SentenceTransformerEmbedder
from diekae_rag.model import DiekaeModel
from diekae_rag.reading import PassageReader
from diekae_rag.states.coding import StateDtype
from diekae_rag.states.file import StateFile, Stored
from diekae_rag.states.kept import KeptStates, state_code
from diekae_rag.states.tensors import PassageStates

__all__ = ["TimedEmbedder", "TimedReader", "timed_states"]


class TimedEmbedder(SentenceTransformerEmbedder):
    """An embedder whose work is the part ``embed``."""

    def __init__(self, name_or_path: str | Path, device: str, clock: Stopwatch) -> None:
        super().__init__(name_or_path, device)
        self._clock = clock

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """As it does without a stopwatch."""
        with self._clock.part("embed"):
            return super().embed(texts, show_progress=show_progress)


class TimedReader(PassageReader):
    """A model's reader whose work is the parts ``tokenize`` and ``encode``.

    Args:
        model: Whose encoders read.
        clock: Where seconds go.
    """

    def __init__(self, model: DiekaeModel, clock: Stopwatch) -> None:
        super().__init__(model.base, model.encoders, model.tokenizer)
        self.clock = clock
        self.tokens_read = 0
        """Tokens that went through the encoders."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """As it does without a stopwatch."""
        with self.clock.part("tokenize"):
            return super().tokenize(texts)

    def encode(
        self, texts: Sequence[Sequence[int]], after: PassageStates | None = None
    ) -> PassageStates:
        """As it does without a stopwatch."""
        with self.clock.part("encode"):
            states = super().encode(texts, after)
            wait_for(self.encoders.device)
        self.tokens_read += sum(map(len, texts))
        return states


class _TimedFile(StateFile):
    """A file whose writing is the part ``write``; what is on disk then is there for good."""

    clock: Stopwatch

    def append(self, items: Iterable[Stored]) -> None:
        with self.clock.part("write"):
            super().append(items)


def timed_states(reader: TimedReader, path: Path, dtype: StateDtype | None) -> KeptStates:
    """What ``DiekaeModel.keep_states`` opens, with a stopwatch in it and nothing kept in memory."""
    file = _TimedFile(path, reader.fingerprint, state_code(reader.encoders, dtype))
    file.clock = reader.clock
    return KeptStates(reader, file, 0)

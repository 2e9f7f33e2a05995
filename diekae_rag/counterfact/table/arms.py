"""The ways to edit that are compared, each given a set of edits and giving a model to ask.

MEMIT is not among them. Of libraries that offer it only EasyEdit takes a LLaMA: its one release on
PyPI (``easyeditor`` 0.0.1.dev0) is of October 2023, its repository pins transformers 4.57.1 and
``datasets`` 1.18.3 where ours needs transformers 5, and it takes the covariances that MEMIT
preconditions with from a download of Wikipedia, on a CUDA device: for a reader of a few million
weights that knows nothing but facts, neither the text nor the statistics would be its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diekae_rag.counterfact.facts import fact_text
from diekae_rag.counterfact.table.asking import Edited
from diekae_rag.data.sets import EditRecord
from diekae_rag.editing import Edits
from diekae_rag.editing.writing import usual_steps
from diekae_rag.index.embedder import Embedder
from diekae_rag.model import DiekaeModel

__all__ = ["AsKnowledge", "EditingArm", "InContext", "InWeights", "Unedited", "without_edits"]


class EditingArm(Protocol):
    """A way to edit."""

    @property
    def most_sets(self) -> int:
        """To how many sets of a size it is put, one after the other."""

    def edited(self, edits: Sequence[EditRecord]) -> AbstractContextManager[Edited]:
        """A model with these edits and no others, until the block ends."""


@contextmanager
def without_edits(model: DiekaeModel) -> Iterator[None]:
    """The model as if no edit had ever been added, until the block ends."""
    before, model.edits = model.edits, Edits(model.edits.embedder)
    try:
        yield
    finally:
        model.edits = before


@dataclass(frozen=True, slots=True)
class Unedited:
    """The reader as it is."""

    model: DiekaeModel
    most_sets: int = 1

    @contextmanager
    def edited(self, edits: Sequence[EditRecord]) -> Iterator[Edited]:
        """The model itself, whatever the edits."""
        with without_edits(self.model):
            yield Edited(self.model)


@dataclass(frozen=True, slots=True)
class InContext:
    """Nothing is edited: each prompt is read after the edit that it, or its neighbour, is about.

    The edit is handed over rather than found, as IKE does: from how many edits it would have to be
    chosen makes no difference, and locality is not to be expected.
    """

    model: DiekaeModel
    most_sets: int = 1

    @contextmanager
    def edited(self, edits: Sequence[EditRecord]) -> Iterator[Edited]:
        """The model itself, told of one edit with each prompt."""
        with without_edits(self.model):
            yield Edited(self.model, 0.0, lambda e: [fact_text(e.prompt, e.target_new)], "stuff")


@dataclass(slots=True)
class AsKnowledge:
    """Way 2: edits are knowledge for the prompts that mean them, and encoders read it.

    Args:
        model: Whose ``edits`` they become.
        embedder: What compares prompts.
        examples: What matching is calibrated on; without any, the embedder's threshold holds.
        most_sets: As for every arm.
    """

    model: DiekaeModel
    embedder: Embedder
    examples: Sequence[Mapping[str, Any]] = ()
    most_sets: int = 100
    _folder: tempfile.TemporaryDirectory[str] | None = field(default=None, init=False)

    @contextmanager
    def edited(self, edits: Sequence[EditRecord]) -> Iterator[Edited]:
        """The model with edits added to it, in one change."""
        before, self.model.edits = self.model.edits, self._new_edits()
        try:
            rows: Any = edits  # read by their names
            began = time.perf_counter()
            self.model.edits.add_many(rows)
            yield Edited(self.model, time.perf_counter() - began)
        finally:
            self.model.edits = before

    def _new_edits(self) -> Edits:
        """None yet; calibrated once for all, with no vector of what will be added."""
        if self._folder is None:
            calibrated = Edits(self.embedder)
            if self.examples:
                calibrated.calibrate(self.examples)
            self._folder = tempfile.TemporaryDirectory()
            calibrated.save(Path(self._folder.name) / "edits")
        edits = Edits(self.embedder)
        edits.load(Path(self._folder.name) / "edits")
        return edits


class _OwnWordsOnly:
    """An embedder without a threshold: an edit is meant by its own words alone."""

    name = "own words only"

    def embed(self, texts: Sequence[str], *, show_progress: bool = False) -> NDArray[np.float32]:
        """All the same, for nothing is compared."""
        return np.ones((len(texts), 1), np.float32)


@dataclass(slots=True)
class InWeights:
    """Way 1: encoders that read the prompt alone are trained to hold the edits in their weights.

    Whatever is answered comes from weights: no edit is read, but where a prompt has its own words
    behind others, as hardly any has. The encoders learn other wordings, and what is not edited,
    from the examples that matching is calibrated on. What was written last is kept: the same edits
    are not written anew.

    Args:
        model: Whose ``edits`` they become.
        examples: Facts that are not edited.
        most_steps: Most training steps; as many as usual for sets that take fewer.
        most_sets: As for every arm.
    """

    model: DiekaeModel
    examples: Sequence[Mapping[str, Any]]
    most_steps: int = 1500
    most_sets: int = 3
    _last: tuple[tuple[EditRecord, ...], float, tempfile.TemporaryDirectory[str]] | None = field(
        default=None, init=False
    )

    @contextmanager
    def edited(self, edits: Sequence[EditRecord]) -> Iterator[Edited]:
        """The model with the edits written into encoders of their own."""
        if self._last is None or self._last[0] != tuple(edits):
            self._last = self._written(edits)
        _, seconds, folder = self._last
        with AsKnowledge(self.model, _OwnWordsOnly()).edited(()) as edited:
            edited.model.edits.load(Path(folder.name) / "edits")
            yield Edited(edited.model, seconds)

    def _written(
        self, edits: Sequence[EditRecord]
    ) -> tuple[tuple[EditRecord, ...], float, tempfile.TemporaryDirectory[str]]:
        folder = tempfile.TemporaryDirectory()
        with AsKnowledge(self.model, _OwnWordsOnly()).edited(edits) as added:
            steps = min(self.most_steps, usual_steps(len(edits)))
            began = time.perf_counter()
            added.model.write_edits(num_steps=steps, examples=self.examples)
            seconds = added.seconds + time.perf_counter() - began
            added.model.edits.save(Path(folder.name) / "edits")
        return tuple(edits), seconds, folder

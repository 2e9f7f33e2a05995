"""How edits' prompts become vectors, and from what similarity on they say the same.

A threshold means something for one embedder only, so both are kept together with the edits.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.projection import COMMON, Projection
from diekae_rag.index.embedder import MINILM, Embedder, as_embedder, unit_vectors
from diekae_rag.index.probe import Probe

__all__ = ["THRESHOLDS", "EditEmbedder"]

THRESHOLDS: dict[str, float] = {MINILM: 0.25}
"""Measured on CounterFact: of what is asked about something else of the same subject, 6 % is taken
for the edit, and 73 % of its wordings by another template are. ``Edits.calibrate`` does better."""

_PROBE = "X was born in"


class EditEmbedder:
    """An embedder, loaded when it is needed, and the threshold that goes with it.

    Args:
        embedder: As for ``PassageIndex``.
    """

    def __init__(self, embedder: Embedder | str | Path) -> None:
        self._given = embedder
        self._embedder: Embedder | None = None
        self._probe: Probe | None = None
        self._is_checked = False
        self._projection: Projection | None = None
        self.space = ""
        self.threshold: float | None = None

    @property
    def embedder(self) -> Embedder:
        """The embedder itself."""
        if self._embedder is None:
            self._embedder = as_embedder(self._given)
        return self._embedder

    @property
    def given(self) -> Embedder | str | Path:
        """What to make another one of; a model that is loaded is not loaded again."""
        return self._embedder or self._given

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as ``[N, P]`` vectors of length 1, of which only the relation is left.

        Raises:
            EditsError: It is not the embedder that made the vectors that are there.
        """
        vectors = self.raw(texts)
        if self._projection is None:
            self._projection = Projection.centred(unit_vectors(self.embedder, COMMON))
        return self._projection.apply(vectors) if len(vectors) else vectors

    def raw(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as the embedder's ``[N, D]`` vectors; ``[0, 0]`` for none.

        Raises:
            EditsError: As for ``embed``.
        """
        if not self._is_checked:
            if self._probe is None:
                self._probe = Probe(_PROBE, unit_vectors(self.embedder, [_PROBE])[0])
            elif not self._probe.is_like(self._probe.reading(self.embedder)):
                raise EditsError(
                    f"the edits were added with another embedder than {self.embedder.name!r}; open "
                    "them with that one, or with reembed=True to have all vectors made anew."
                )
            self._is_checked = True
        if not texts:
            return np.zeros((0, 0), np.float32)
        return unit_vectors(self.embedder, texts)

    def settings(self) -> dict[str, str]:
        """What is kept with the edits."""
        self.embed([])
        assert self._probe is not None
        assert self._projection is not None
        return {
            "embedder": self.embedder.name,
            "probe": json.dumps(self._probe.as_dict()),
            "projection": self._projection.to_text(),
            "space": self.space,
            "threshold": json.dumps(self.threshold),
        }

    def begin(self) -> None:
        """Begins vectors of its own, with the threshold that was measured for it, if any."""
        self._probe, self._is_checked, self._projection = None, False, None
        self.space = secrets.token_hex(4)
        given = self.given
        name = given if isinstance(given, str) else getattr(given, "name", "")
        self.threshold = THRESHOLDS.get(name)

    def compare_by(self, projection: Projection, threshold: float) -> None:
        """Begins vectors of its own, of what a projection leaves."""
        self._projection, self.threshold = projection, threshold
        self.space = secrets.token_hex(4)

    @property
    def compared_by(self) -> tuple[Projection | None, float | None, str]:
        """Projection, threshold and name of the vectors; to go back to where a change fails."""
        return self._projection, self.threshold, self.space

    @compared_by.setter
    def compared_by(self, before: tuple[Projection | None, float | None, str]) -> None:
        self._projection, self.threshold, self.space = before

    def take(self, settings: Mapping[str, str], path: Path | None) -> None:
        """Goes on with vectors that are there.

        Raises:
            EditsError: They are another embedder's, or it cannot be told whose they are.
        """
        try:
            probe = json.loads(settings["probe"])
            self._probe = Probe.read(probe, len(probe["vector"]))
            self.take_threshold(settings)
            self._projection = Projection.from_text(settings["projection"])
            name, self.space = settings["embedder"], settings["space"]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise EditsError(
                f"the edits in {path} do not say which embedder they were added with ({error}); "
                "open them with reembed=True to have all vectors made anew."
            ) from error
        self._is_checked = False
        if name != self.embedder.name:
            try:
                self.embed([])
            except EditsError:
                raise EditsError(
                    f"the edits in {path} were added with the embedder {name!r}, this is "
                    f"{self.embedder.name!r}; open them with that one, or with reembed=True to "
                    "have all vectors made anew."
                ) from None

    def take_threshold(self, settings: Mapping[str, str]) -> None:
        """Takes the threshold that somebody else may have changed."""
        threshold = json.loads(settings["threshold"])
        self.threshold = None if threshold is None else float(threshold)

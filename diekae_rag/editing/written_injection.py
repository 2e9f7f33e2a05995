"""Joins a base model and the edits that are in weights, while the model is called.

Axes: B rows, L positions of the padded prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from torch import Tensor, nn
from transformers import PreTrainedModel

from diekae_rag.editing.edits import Edits
from diekae_rag.editing.written import WrittenEdits, base_fingerprint
from diekae_rag.families import input_embeddings
from diekae_rag.injection import Injection
from diekae_rag.states.knowledge import Knowledge
from diekae_rag.warning import warn

__all__ = ["WrittenInjection"]


class WrittenInjection:
    """The hooks of the edits that were written last. The caller keeps calls apart.

    Args:
        base: The base model.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        self.base = base
        self._is_detached = False
        self._refused: WrittenEdits | None = None
        self._joined: tuple[WrittenEdits, Injection] | None = None

    @cached_property
    def base_fingerprint(self) -> str:
        """Which base model this is; see ``WrittenEdits``."""
        return base_fingerprint(self.base)

    def now(self, edits: Edits) -> tuple[WrittenEdits | None, frozenset[str]]:
        """What this base model answers from weights, and the ids of those edits; or nothing."""
        if self._is_detached:
            return None, frozenset()
        written, ids = edits.written_now()
        if written is None or not ids or not self._fits(written):
            return None, frozenset()
        return written, ids

    @contextmanager
    def call(self, written: WrittenEdits | None, prompt_mask: Tensor) -> Iterator[None]:
        """Adds to the base model what is in weights, until the block ends.

        Args:
            written: What ``now`` gave when the prompts were read.
            prompt_mask: ``[B, L]`` bool, the tokens of the padded prompts that encoders read.
        """
        if written is None:
            self._part()
            yield
            return
        injection = self._join(written)
        encoders = injection.encoders
        nothing = Knowledge.empty(len(prompt_mask), encoders.config, encoders.device)
        with injection.call(nothing, prompt_mask):
            yield

    def detach(self) -> None:
        """Removes every hook for good."""
        self._is_detached = True
        self._part()

    def _join(self, written: WrittenEdits) -> Injection:
        if self._joined is None or self._joined[0] is not written:
            self._part()
            nn.Module.to(written.encoders, input_embeddings(self.base).weight.device)
            self._joined = (written, Injection(self.base, written.encoders))
        return self._joined[1]

    def _part(self) -> None:
        if self._joined is not None:
            self._joined[1].detach()
            self._joined = None

    def _fits(self, written: WrittenEdits) -> bool:
        if written is self._refused:
            return False
        if self._joined is not None and self._joined[0] is written:
            return True
        if written.base == self.base_fingerprint:
            return True
        self._refused = written
        warn(
            f"{len(written.edits)} edits were written into weights for another base model; with "
            "this one they are read as passages. Write them anew with write_edits()."
        )
        return False

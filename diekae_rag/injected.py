"""A frozen base model with encoders beside it: what they read, and what is injected meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.answers import Mode
from diekae_rag.editing.written_injection import WrittenInjection
from diekae_rag.encoders import Encoders
from diekae_rag.families import input_embeddings
from diekae_rag.injection import Injection
from diekae_rag.passages import Passage
from diekae_rag.prompting import Wording
from diekae_rag.reading import PassageReader, read_knowledge
from diekae_rag.requests import Request, prepare
from diekae_rag.states.coding import StateDtype
from diekae_rag.states.kept import KeptStates, open_states
from diekae_rag.states.tensors import PassageStates
from diekae_rag.stopping import Watch

__all__ = ["InjectedModel"]

_ROOM = 32  # new tokens for which encoders need not move what they have read


class InjectedModel:
    """What ``DiekaeModel`` answers with: prompts become requests, and requests are injected.

    Args:
        base: A decoder-only ``transformers`` model of a family that works (``FAMILIES``).
        tokenizer: Its tokenizer.
        encoders: Encoders trained for it.

    Raises:
        ValueError: The encoders do not belong to this base model.
    """

    def __init__(
        self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoders: Encoders
    ) -> None:
        if encoders.config.knowledge_in != "passages":
            raise ValueError(
                "these encoders hold edits in their weights and read no passages; pass the ones "
                "that they were made beside, and open the edits' folder with model.edits.open()."
            )
        self.base, self.tokenizer = base, tokenizer
        nn.Module.eval(encoders)
        self.encoders = encoders
        self.injection = Injection(base, encoders)
        self.wording = Wording(**(encoders.config.wording or {}))
        self.states: KeptStates | None = None
        self.in_weights = WrittenInjection(base)
        self.reader = PassageReader(base, encoders, tokenizer)
        self._lock = threading.RLock()
        # The hooks hold the encoders: with the model gone, they would stay as long as the base.
        weakref.finalize(self, self.injection.detach).atexit = False
        weakref.finalize(self, self.in_weights.detach).atexit = False

    def detach(self) -> None:
        """Takes the hooks off the base model, once no answer is under way.

        This object can then only stuff.
        """
        with self._lock:
            self.injection.detach()
            self.in_weights.detach()

    @property
    def device(self) -> torch.device:
        """Where the base model takes its input."""
        return input_embeddings(self.base).weight.device

    @property
    def window(self) -> int:
        """How many positions the base model has."""
        return int(getattr(self.base.config, "max_position_embeddings", 0) or 1 << 20)

    def encode(self, texts: Sequence[Sequence[int]]) -> PassageStates:
        """The encoders' states of tokenized passages, each read alone."""
        return self.reader.encode(texts)

    def keep_states(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        dtype: StateDtype | None = None,
        max_bytes: int = 1 << 28,
    ) -> KeptStates:
        """Keeps what encoders have read, from now on: a passage is then read once.

        What is kept is used for every passage with the same text; answers are those of passages
        read anew. Encoders that read jointly keep whole prompts' passages, in memory only, and read
        on from where a new one differs.

        Args:
            path: A file, or the folder of an index, where ``add`` and ``follow`` keep passages for
                good; without one, they are kept in memory.
            dtype: How the file is written: ``"float32"``, ``"bfloat16"``, ``"float16"`` or
                ``"int8"``; by default as it is, or in the encoders' own precision: no loss.
            max_bytes: Most bytes to keep in memory.

        Raises:
            StatesError: The file is of other encoders or another precision, or no such file.

        Example:
            >>> from diekae_rag import DiekaeModel
            >>> model = DiekaeModel.from_pretrained("demo")
            >>> states = model.keep_states()
            >>> passages = ["Brenk Mills is based in Oltun."]
            >>> first = model.generate("Where is Brenk Mills based?", passages)
            >>> again = model.generate("What is based in Oltun?", passages)
            >>> first.usage.knowledge_tokens_from_kept_states
            0
            >>> again.usage.knowledge_tokens_from_kept_states == again.usage.knowledge_tokens
            True
        """
        kept = open_states(self.reader, None if path is None else Path(path), dtype, max_bytes)
        self.states = kept
        return kept

    @property
    def fingerprint(self) -> str:
        """Tells these encoders, and the embeddings they read with, from all others."""
        return self.reader.fingerprint

    def prepare(
        self,
        prompt: str,
        passages: Sequence[Passage],
        mode: Mode,
        max_new_tokens: int,
        is_worded: bool = False,
        *,
        warns: bool = True,
        num_edits: int = 0,
    ) -> Request:
        """Words and tokenizes one prompt and its passages for this model; see ``requests``.

        Raises:
            ValueError: The prompt is empty, or the tokenizer is another model's.
            PromptTooLongError: The prompt alone does not fit.
        """
        request = prepare(
            prompt,
            passages,
            mode,
            self.tokenizer,
            self.encoders.config,
            self.window,
            max_new_tokens,
            is_worded,
            warns=warns,
            num_edits=num_edits,
            tokens_of=self.states.tokens_of if self.states else lambda text: None,
        )
        largest = max(map(max, filter(None, [request.input_ids, *request.knowledge])), default=0)
        if largest >= (count := input_embeddings(self.base).num_embeddings):
            raise ValueError(
                f"the tokenizer gives id {largest}, the base model has {count} embeddings; "
                "pass the base model's own tokenizer."
            )
        return request

    def wording_of(self, is_worded: bool) -> Wording:
        """What is put around prompts and answers; for a prompt that ``is_worded``, nothing."""
        return self.wording.for_worded_prompts() if is_worded else self.wording

    @contextmanager
    def turn(self, watch: Watch) -> Iterator[bool]:
        """Waits until no other generation runs, or until nobody wants this one any more."""
        while not (is_held := self._lock.acquire(timeout=0.02)) and not watch.cancelled.is_set():
            pass
        try:
            yield not watch.cancelled.is_set()
        finally:
            if is_held:
                self._lock.release()

    @contextmanager
    def injecting(
        self, requests: Sequence[Request], prompt_mask: Tensor, mode: Mode
    ) -> Iterator[list[int]]:
        """Holds the model, and injects what each row's encoders read, until the block ends.

        Edits in weights (``Request.written``, alike for all rows) are injected whatever the mode.

        Args:
            requests: A row each.
            prompt_mask: ``[B, L]`` bool, which of the padded prompts' tokens the encoders read.
            mode: That of ``requests``; one that injects nothing leaves the base model as it is.

        Yields:
            For each row, how many of its knowledge tokens were not read again.
        """
        with self._lock, ExitStack() as stack:
            stack.enter_context(
                self.in_weights.call(requests[0].written, prompt_mask.to(self.device))
            )
            if mode not in ("inject", "combine") or not any(r.knowledge for r in requests):
                yield [0] * len(requests)
                return
            room = prompt_mask.shape[1] + _ROOM
            knowledge, reused = read_knowledge(self.reader, self.states, requests, room)
            stack.enter_context(self.injection.call(knowledge, prompt_mask.to(self.device)))
            yield reused

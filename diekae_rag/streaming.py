"""An answer as it comes: a worker generates, whoever reads gets the text piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.answers import Answer
from diekae_rag.prompting import Wording, decode
from diekae_rag.stopping import Watch, hold_back, trim_at_stop
from diekae_rag.worker import Ended, Reading, Worker

__all__ = ["AnswerStream"]

_Run = Callable[[Callable[[Watch], None]], Answer]


class _Speaker(Worker):
    """A worker that says the text of one answer."""

    def __init__(
        self,
        run: _Run,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        stops: Sequence[str],
        ends: Collection[int],
    ) -> None:
        self.tokenizer, self.wording = tokenizer, wording
        self.stops, self.ends = list(stops), frozenset(ends)
        self.sent = ""
        super().__init__(lambda worker: run(worker.begin))

    def see(self, ids: Tensor) -> None:
        """Sends what can no longer change: no half characters, no beginning of a stop string."""
        super().see(ids)
        assert self.watch is not None
        new: list[int] = []
        for token in ids[0, self.watch.prompt_length :].tolist():
            if token in self.ends:
                break
            new.append(token)
        text = self.wording.read_answer(decode(self.tokenizer, new).rstrip("\ufffd"))
        text, stopped = trim_at_stop(text, self.stops)
        if not stopped:
            text = text[: len(text) - hold_back(text, self.stops)]
        if text.startswith(self.sent) and len(text) > len(self.sent):
            self.pieces.put(text[len(self.sent) :])
            self.sent = text


class AnswerStream(Reading[str]):
    """Pieces of one answer; ``answer`` is the whole, once the last piece was read.

    ``close`` (or leaving a ``with`` block, or dropping the stream) stops the generation and waits
    for it to end.
    """

    _worker: _Speaker

    def __init__(
        self,
        run: _Run,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        stops: Sequence[str],
        ends: Collection[int] = (),
    ) -> None:
        self._answer: Answer | None = None
        self._worker = _Speaker(run, tokenizer, wording, stops, ends)

    @property
    def answer(self) -> Answer:
        """The whole answer with sources and usage.

        Raises:
            RuntimeError: The stream was not read to its end.
        """
        if self._answer is None:
            raise RuntimeError("the answer is complete only when the stream was read to its end.")
        return self._answer

    def __next__(self) -> str:
        worker = self._worker
        if self._answer is not None or worker.closed.is_set():
            raise StopIteration
        piece: Any = worker.pieces.get()
        if not isinstance(piece, Ended):
            return str(piece)
        worker.thread.join()
        if piece.error is not None:
            worker.closed.set()
            raise piece.error
        answer: Answer = piece.value
        self._answer = answer
        if rest := answer.text[len(worker.sent) :]:
            return rest
        raise StopIteration

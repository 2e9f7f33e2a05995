"""An answer as it comes: a worker generates, whoever reads gets the text piece by piece."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.answers import Answer
from diekae_rag.prompting import Wording, decode
from diekae_rag.stopping import Watch, hold_back, trim_at_stop

__all__ = ["AnswerStream"]


class AnswerStream(Iterator[str]):
    """Pieces of one answer; ``answer`` is the whole, once the last piece was read.

    ``close`` (or leaving a ``with`` block, or dropping the stream) stops the generation and waits
    for it to end.
    """

    def __init__(
        self,
        run: Callable[[Callable[[Watch], None]], Answer],
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        stops: Sequence[str],
    ) -> None:
        self._tokenizer, self._wording, self._stops = tokenizer, wording, list(stops)
        self._pieces: queue.SimpleQueue[str | Answer | BaseException] = queue.SimpleQueue()
        self._watch: Watch | None = None
        self._closed = threading.Event()
        self._sent = ""
        self._answer: Answer | None = None
        # Not a daemon: one that still generates while the interpreter exits aborts the process.
        self._worker = threading.Thread(target=self._work, args=(run,), name="diekae-stream")
        self._worker.start()

    @property
    def answer(self) -> Answer:
        """The whole answer with sources and usage.

        Raises:
            RuntimeError: The stream was not read to its end.
        """
        if self._answer is None:
            raise RuntimeError("the answer is complete only when the stream was read to its end.")
        return self._answer

    def _work(self, run: Callable[[Callable[[Watch], None]], Answer]) -> None:
        try:
            self._pieces.put(run(self._begin))
        except BaseException as error:
            self._pieces.put(error)

    def _begin(self, watch: Watch) -> None:
        watch.on_token = self._send
        self._watch = watch
        if self._closed.is_set():
            watch.cancelled.set()

    def _send(self, ids: Tensor) -> None:
        """Sends what can no longer change: no half characters, no beginning of a stop string."""
        assert self._watch is not None
        new = ids[0, self._watch.prompt_length :].tolist()
        text = decode(self._tokenizer, new)
        text, stopped = trim_at_stop(self._wording.read_answer(text), self._stops)
        if not stopped:
            text = text[: len(text) - hold_back(text, self._stops)].rstrip("\ufffd")
        if text.startswith(self._sent) and len(text) > len(self._sent):
            self._pieces.put(text[len(self._sent) :])
            self._sent = text

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> str:
        if self._answer is not None or self._closed.is_set():
            raise StopIteration
        piece = self._pieces.get()
        if isinstance(piece, str):
            return piece
        self._worker.join()
        if isinstance(piece, BaseException):
            self._closed.set()
            raise piece
        self._answer = piece
        if rest := piece.text[len(self._sent) :]:
            return rest
        raise StopIteration

    def close(self) -> None:
        """Stops the generation; pieces not read are lost."""
        self._closed.set()
        if self._watch is not None:
            self._watch.cancelled.set()
        self._worker.join()

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_worker"):
            self.close()

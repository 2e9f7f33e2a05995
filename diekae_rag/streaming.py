"""An answer as it comes: a worker generates, whoever reads gets the text piece by piece."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.answers import Answer
from diekae_rag.prompting import Wording, decode
from diekae_rag.stopping import Watch, hold_back, trim_at_stop

__all__ = ["AnswerStream"]


_NAME = "diekae-stream"
_Run = Callable[[Callable[[Watch], None]], Answer]


class _Worker:
    """Generates in a thread of its own and knows nothing of the stream that reads from it.

    So a stream that nobody holds any more is collected, and stops its worker.
    """

    def __init__(
        self,
        run: _Run,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        stops: Sequence[str],
        ends: Collection[int],
    ) -> None:
        self.run, self.tokenizer, self.wording = run, tokenizer, wording
        self.stops, self.ends = list(stops), frozenset(ends)
        self.pieces: queue.SimpleQueue[str | Answer | BaseException] = queue.SimpleQueue()
        self.watch: Watch | None = None
        self.closed = threading.Event()
        self.sent = ""
        # Not a daemon: one that still generates while the interpreter exits aborts the process.
        self.thread = threading.Thread(target=self.work, name=_NAME)
        self.thread.start()

    def work(self) -> None:
        """Runs to the end, or to the first error: the last thing that is sent."""
        try:
            self.pieces.put(self.run(self.begin))
        except BaseException as error:
            self.pieces.put(error)

    def begin(self, watch: Watch) -> None:
        """Called by the generation before its first token."""
        watch.on_token = self.send
        self.watch = watch
        if self.closed.is_set():
            watch.cancelled.set()

    def send(self, ids: Tensor) -> None:
        """Sends what can no longer change: no half characters, no beginning of a stop string."""
        assert self.watch is not None
        if _is_exiting():
            self.watch.cancelled.set()
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

    def close(self) -> None:
        """Stops the generation and waits for it."""
        self.closed.set()
        if self.watch is not None:
            self.watch.cancelled.set()
        if self.thread is not threading.current_thread():  # else it was collected in there
            self.thread.join()


def _is_exiting() -> bool:
    """True while the interpreter waits for streams that nobody can read any more."""
    main = threading.main_thread()
    others = (t for t in threading.enumerate() if t is not main and not t.daemon)
    return not main.is_alive() and all(thread.name == _NAME for thread in others)


class AnswerStream(Iterator[str]):
    """Pieces of one answer; ``answer`` is the whole, once the last piece was read.

    ``close`` (or leaving a ``with`` block, or dropping the stream) stops the generation and waits
    for it to end.
    """

    def __init__(
        self,
        run: _Run,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        stops: Sequence[str],
        ends: Collection[int] = (),
    ) -> None:
        self._answer: Answer | None = None
        self._worker = _Worker(run, tokenizer, wording, stops, ends)

    @property
    def answer(self) -> Answer:
        """The whole answer with sources and usage.

        Raises:
            RuntimeError: The stream was not read to its end.
        """
        if self._answer is None:
            raise RuntimeError("the answer is complete only when the stream was read to its end.")
        return self._answer

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> str:
        worker = self._worker
        if self._answer is not None or worker.closed.is_set():
            raise StopIteration
        piece = worker.pieces.get()
        if isinstance(piece, str):
            return piece
        worker.thread.join()
        if isinstance(piece, BaseException):
            worker.closed.set()
            raise piece
        self._answer = piece
        if rest := piece.text[len(worker.sent) :]:
            return rest
        raise StopIteration

    def close(self) -> None:
        """Stops the generation; pieces not read are lost."""
        self._worker.close()

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_worker"):
            self.close()

"""Who generates while somebody else reads: a thread that can be told to stop."""

from __future__ import annotations

import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from torch import Tensor

from diekae_rag.stopping import Watch

__all__ = ["Ended", "Reading", "Worker"]

_NAME = "diekae-stream"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ended:
    """The last thing that a worker says: what its work came to, or why it failed."""

    value: Any = None
    error: BaseException | None = None


class Worker:
    """Generates in a thread of its own and knows nothing of who reads from it.

    So a reader that nobody holds any more is collected, and stops its worker.

    Args:
        run: The work; it is handed this worker, says what it has to say by ``pieces.put``, and
            calls ``begin`` before every generation.
    """

    def __init__(self, run: Callable[[Any], Any]) -> None:
        self.run = run
        self.pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.watch: Watch | None = None
        self.closed = threading.Event()
        # Not a daemon: one that still generates while the interpreter exits aborts the process.
        self.thread = threading.Thread(target=self.work, name=_NAME)
        self.thread.start()

    def work(self) -> None:
        """Runs to the end, or to the first error: the last thing that is sent."""
        try:
            self.pieces.put(Ended(self.run(self)))
        except BaseException as error:
            self.pieces.put(Ended(error=error))

    def begin(self, watch: Watch) -> None:
        """Called by a generation before its first token."""
        watch.on_token = self.see
        self.watch = watch
        if self.closed.is_set():
            watch.cancelled.set()

    def see(self, ids: Tensor) -> None:
        """Called after each token with all ids, ``[B, T]``."""
        assert self.watch is not None
        if _is_exiting():
            self.closed.set()
            self.watch.cancelled.set()

    def close(self) -> None:
        """Stops the generation and waits for it."""
        self.closed.set()
        if self.watch is not None:
            self.watch.cancelled.set()
        if self.thread is not threading.current_thread():  # else it was collected in there
            self.thread.join()


def _is_exiting() -> bool:
    """True while the interpreter waits for workers from whom nobody can read any more."""
    main = threading.main_thread()
    others = (t for t in threading.enumerate() if t is not main and not t.daemon)
    return not main.is_alive() and all(thread.name == _NAME for thread in others)


class Reading(Iterator[T], Generic[T]):
    """What a worker says, one after the other.

    ``close`` (or leaving a ``with`` block, or dropping this) stops the generation and waits for it
    to end.
    """

    _worker: Worker

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> T: ...

    def close(self) -> None:
        """Stops the generation; what was not read is lost."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_worker"):
            self.close()

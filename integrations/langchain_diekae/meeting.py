"""Where calls that run at once meet, so that the model answers them side by side.

LangChain asks for each input by itself, with its own config, callbacks and look into the cache. The
inputs of one batch are asked about in threads or tasks that wait here for one another: those that
get as far as the model are then one batch for it, and each goes on when its own answer is there.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from diekae_rag import Answer, DiekaeError, DiekaeModel, Passage
from diekae_rag.completing import Completions

__all__ = ["Meeting", "is_met", "join_meeting"]


@dataclass(slots=True)
class _Seat:
    """A place for one call, which it takes once or leaves empty."""

    meeting: Meeting
    is_taken: bool = False


_SEAT: ContextVar[_Seat | None] = ContextVar("_SEAT", default=None)


@dataclass(slots=True)
class _Row:
    """What one call asks, and where its answer goes."""

    prompt: str
    passages: list[Passage]
    answer: Future[Answer] = field(default_factory=Future)


class Meeting:
    """A batch of calls, answered once all of them are here or will not come.

    Args:
        count: How many calls there are, each with a ``seat``.
    """

    def __init__(self, count: int) -> None:
        self._missing, self._rows = count, list[_Row]()
        self._asked: tuple[DiekaeModel, dict[str, Any]] | None = None
        self._answers: Completions | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    @contextmanager
    def seat(self) -> Iterator[None]:
        """Within, this thread's or task's next question to the model joins the others'."""
        seat = _Seat(self)
        token = _SEAT.set(seat)
        try:
            yield
        finally:
            _SEAT.reset(token)
            if not seat.is_taken:
                self._come(None)

    def join(
        self, engine: DiekaeModel, prompt: str, passages: list[Passage], options: Mapping[str, Any]
    ) -> Future[Answer] | None:
        """Where the answer will be; ``None`` for a question that cannot go with the others."""
        asked = (engine, dict(options))
        with self._lock:
            self._asked = self._asked or asked
            if self._asked != asked:
                return None
        row = _Row(prompt, passages)
        row.answer.set_running_or_notify_cancel()  # whoever waits cannot take it back
        self._come(row)
        return row.answer

    def close(self) -> None:
        """Stops generating: calls that still wait fail."""
        with self._lock:
            self._is_closed = True
        if self._answers is not None:
            self._answers.close()

    def _come(self, row: _Row | None) -> None:
        with self._lock:
            self._rows += [row] if row is not None else []
            self._missing -= 1
            is_complete = not self._missing
        if is_complete and self._rows:
            threading.Thread(target=self._run, name="diekae-meeting").start()

    def _run(self) -> None:
        """Hands every row its answer as it comes, or says why there is none."""
        error: BaseException = DiekaeError("nobody waits for this answer any more.")
        try:
            for number, answer in self._open():
                self._rows[number].answer.set_result(answer)
        except BaseException as failure:
            error = failure
        for row in self._rows:
            if not row.answer.done():
                row.answer.set_exception(error)

    def _open(self) -> Iterator[tuple[int, Answer]]:
        assert self._asked is not None
        engine, options = self._asked
        prompts, passages = [r.prompt for r in self._rows], [r.passages for r in self._rows]
        with self._lock:
            if self._is_closed:
                return iter(())
            self._answers = engine.generate_as_completed(prompts, passages, **options)
        return self._answers


def is_met() -> bool:
    """Whether others wait for this call's next question to the model."""
    seat = _SEAT.get()
    return seat is not None and not seat.is_taken


def join_meeting(
    engine: DiekaeModel, prompt: str, passages: list[Passage], options: Mapping[str, Any]
) -> Future[Answer] | None:
    """Where the answer to a call will be, if it has a seat; ``None`` if it asks by itself.

    What cannot be asked fails here, for this call alone.

    Args:
        engine: Who answers.
        prompt: The question.
        passages: What was retrieved for it.
        options: Whatever else ``generate_as_completed`` takes.
    """
    seat = _SEAT.get()
    if seat is None or seat.is_taken or (options.get("num_return_sequences") or 1) > 1:
        return None
    room, is_worded = options["max_new_tokens"], options["is_worded"]
    engine.prepare(prompt, passages, "inject", room, is_worded, warns=False)
    answer = seat.meeting.join(engine, prompt, passages, options)
    seat.is_taken = answer is not None
    return answer

"""One question to the engine: answered at once, or streamed to a reader who may go away."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
)
from llama_index.llms.diekae.knowledge import Document, to_passages

from diekae_rag import Answer, DiekaeError, DiekaeModel
from diekae_rag.answers import ModeChoice
from diekae_rag.streaming import AnswerStream

__all__ = ["Call", "Responses", "aclosing", "as_chat", "closing", "loud_errors"]

T = TypeVar("T")


@contextmanager
def loud_errors() -> Iterator[None]:
    """Makes errors ``RuntimeError``: query engines swallow others and answer with nothing."""
    try:
        yield
    except RuntimeError:
        raise
    except (ValueError, TypeError) as error:
        raise DiekaeError(str(error)) from error
    except Exception as error:
        raise DiekaeError(f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True, slots=True)
class Call:
    """What the engine is asked. Contexts are taken apart by whoever answers, in its thread."""

    engine: DiekaeModel
    prompt: str
    documents: list[Document]
    mode: ModeChoice
    options: dict[str, Any]
    is_worded: bool = False

    def answer(self) -> CompletionResponse:
        """The whole answer."""
        with loud_errors():
            passages = to_passages(self.documents, self.engine)
            return _response(
                self.engine.generate(
                    self.prompt, passages, self.mode, self.is_worded, **self.options
                )
            )

    async def aanswer(self) -> CompletionResponse:
        """``answer``, with the event loop free; cancelled, it ends the generation.

        Beams cannot be streamed, so theirs runs to its end.
        """
        if (self.options.get("num_beams") or 1) > 1:
            return await asyncio.to_thread(self.answer)
        source = Responses(self)
        try:
            last = await asyncio.to_thread(lambda: deque(source, maxlen=1).pop())
        except asyncio.CancelledError:
            await asyncio.to_thread(source.close)
            raise
        return last.model_copy(update={"delta": None})

    def open(self) -> AnswerStream:
        """Begins to generate."""
        with loud_errors():
            passages = to_passages(self.documents, self.engine)
            return self.engine.stream(
                self.prompt, passages, self.mode, self.is_worded, **self.options
            )


class Responses:
    """The responses of a streamed answer; the last one says what it cost and what it read.

    Generation begins with the first response asked for, and ``close`` ends it, from any thread.
    """

    def __init__(self, call: Call) -> None:
        self._call, self._text = call, ""
        self._stream: AnswerStream | None = None
        self._lock, self._is_over = threading.Lock(), False

    def next(self) -> CompletionResponse | None:
        """The next response, or ``None`` after the last."""
        with self._lock:
            if self._is_over:
                return None
            stream = self._stream = self._stream or self._call.open()
        with loud_errors():
            piece = next(stream, None)
        if piece is not None:
            self._text += piece
            return CompletionResponse(text=self._text, delta=piece)
        self._is_over = True
        with suppress(RuntimeError):  # closed by another thread: there is no answer
            return _response(stream.answer, delta="")
        return None

    def close(self) -> None:
        """Stops generating."""
        with self._lock:
            self._is_over = True
        if self._stream is not None:
            self._stream.close()

    def __iter__(self) -> Generator[CompletionResponse, None, None]:
        while (response := self.next()) is not None:
            yield response

    async def __aiter__(self) -> AsyncGenerator[CompletionResponse, None]:
        """The same; the event loop is free while tokens are computed."""
        while (response := await asyncio.to_thread(self.next)) is not None:
            yield response


def closing(responses: Iterator[T], source: Responses) -> Generator[T, None, None]:
    """``responses``, with generation ended when their reader goes away.

    Dropping them is not enough: a callback handler that keeps the exception keeps their frames.
    """
    try:
        yield from responses
    finally:
        source.close()


async def aclosing(responses: AsyncIterator[T], source: Responses) -> AsyncGenerator[T, None]:
    """``closing`` for a coroutine."""
    try:
        async for response in responses:
            yield response
    finally:
        await asyncio.to_thread(source.close)


def _response(answer: Answer, delta: str | None = None) -> CompletionResponse:
    usage = {**answer.usage.to_dict(), "completion_tokens": answer.usage.new_tokens}
    said = {"sources": answer.sources, "edits": [edit.to_dict() for edit in answer.edits]}
    return CompletionResponse(
        text=answer.text,
        delta=delta,
        raw={"text": answer.text, "mode": answer.mode, "usage": usage, **said},
        additional_kwargs={"usage": usage, **said},
    )


def as_chat(response: CompletionResponse) -> ChatResponse:
    """A completion as a message; usage and sources stay outside it, or memories would keep them."""
    return ChatResponse(
        message=ChatMessage(response.text, role=MessageRole.ASSISTANT),
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=response.additional_kwargs,
    )

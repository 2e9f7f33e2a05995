"""An answer's pieces and then the answer, read by a thread or by an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator

from langchain_core.runnables.config import run_in_executor

from diekae_rag import Answer
from diekae_rag.streaming import AnswerStream

__all__ = ["read_stream", "read_stream_async"]


def read_stream(begin: Callable[[], AnswerStream]) -> Iterator[str | Answer]:
    """Pieces as they come, the whole answer last; whoever stops reading stops the model."""
    with begin() as stream:
        yield from stream
        yield stream.answer


async def read_stream_async(
    begin: Callable[[], AnswerStream],
) -> AsyncGenerator[str | Answer, None]:
    """As ``read_stream``; all that takes time happens in threads. Close it: ``aclosing``."""
    opening = asyncio.ensure_future(run_in_executor(None, begin))
    try:
        stream = await asyncio.shield(opening)
        while (piece := await run_in_executor(None, next, stream, None)) is not None:
            yield piece
        yield stream.answer
    finally:  # also where this was cancelled while the stream was being opened
        await run_in_executor(None, (await opening).close)

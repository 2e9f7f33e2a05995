"""Batches whose answers come as they are complete, with all of LangChain around each."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    ContextThreadPoolExecutor,
    get_config_list,
    run_in_executor,
)

from langchain_diekae.documents import DocumentsLike
from langchain_diekae.meeting import Meeting

__all__ = ["CompletingBatches"]

_MOST = 32  # calls that wait for one another, a thread each


class CompletingBatches(Runnable[LanguageModelInput, Any], ABC):
    """A model whose ``batch_as_completed`` is one batch for the engine, not one call after another.

    As everywhere in LangChain, every input is asked about by an ``invoke`` of its own, with its own
    config, callbacks, cache and failure. ``max_concurrency`` (or else ``batch_size``, 32 if it is
    not given) is how many are answered side by side; the next are when those are done. Inputs that
    callbacks stream, and several answers to one, are answered by themselves. Whoever stops reading
    stops the model.
    """

    @abstractmethod
    def _fold_inputs(
        self, inputs: list[LanguageModelInput], documents: DocumentsLike
    ) -> list[Any]: ...

    def batch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Any]]:
        """Answers prompts side by side, and gives each one's number and answer when it is there.

        Args:
            inputs: The prompts.
            config: One for all, or one for each.
            return_exceptions: Whether errors are given in place of answers; otherwise the first
                one is raised.
            documents: One list of documents for all, or one for each.
            **kwargs: Whatever ``invoke`` takes.
        """
        folded = self._fold_inputs(list(inputs), documents)
        for numbers, configs in self._groups(len(folded), config, kwargs):
            meeting = Meeting(len(numbers))

            def ask(number: int, config: RunnableConfig, meeting: Meeting = meeting) -> Any:
                with meeting.seat():
                    try:
                        return self.invoke(folded[number], config, **kwargs)
                    except Exception as error:
                        if return_exceptions:
                            return error
                        raise

            with ContextThreadPoolExecutor(max_workers=len(numbers)) as threads:
                asked = {
                    threads.submit(ask, number, config): number
                    for number, config in zip(numbers, configs, strict=True)
                }
                try:
                    for done in as_completed(asked):
                        yield asked[done], done.result()
                finally:
                    meeting.close()

    async def abatch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        documents: DocumentsLike = None,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, Any]]:
        """As ``batch_as_completed``, with the event loop free."""
        folded = self._fold_inputs(list(inputs), documents)
        for numbers, configs in self._groups(len(folded), config, kwargs):
            meeting = Meeting(len(numbers))

            async def ask(
                number: int, config: RunnableConfig, meeting: Meeting = meeting
            ) -> tuple[int, Any]:
                with meeting.seat():
                    try:
                        return number, await self.ainvoke(folded[number], config, **kwargs)
                    except Exception as error:
                        if return_exceptions:
                            return number, error
                        raise

            tasks = [
                asyncio.ensure_future(ask(*each)) for each in zip(numbers, configs, strict=True)
            ]
            try:
                for done in asyncio.as_completed(tasks):
                    yield await done
            finally:
                await run_in_executor(None, meeting.close)
                await asyncio.gather(*tasks, return_exceptions=True)

    def _groups(
        self,
        count: int,
        config: RunnableConfig | Sequence[RunnableConfig] | None,
        given: dict[str, Any],
    ) -> Iterator[tuple[range, list[RunnableConfig]]]:
        """The numbers of the inputs that meet, with their configs."""
        configs = get_config_list(config, count) if count else []
        own = getattr(self, "options", {})
        size = given.get("batch_size") or own.get("batch_size") or _MOST
        most = configs[0].get("max_concurrency") or size if configs else size
        for first in range(0, count, most):
            numbers = range(first, min(first + most, count))
            yield numbers, configs[first : first + most]

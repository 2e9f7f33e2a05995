"""A response synthesizer that keeps retrieved nodes apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from typing import Any

from llama_index.core import Settings
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.callbacks import CallbackManager
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import NodeWithScore
from llama_index.core.types import RESPONSE_TEXT_TYPE
from llama_index.llms.diekae.base import DiekaeLLM
from llama_index.llms.diekae.calls import loud_errors
from llama_index.llms.diekae.knowledge import read_nodes

from diekae_rag import Passage

__all__ = ["DiekaeSynthesizer"]


class DiekaeSynthesizer(BaseSynthesizer):
    """Asks the question once, each node a passage of its own with its score and metadata.

    The host's synthesizers join nodes into one string before the model sees them, and split that
    by the base model's window. This one hands the nodes over:
    ``index.as_query_engine(llm=llm, response_synthesizer=DiekaeSynthesizer(llm))``. Streamed, in a
    coroutine or neither, the answer is the same.

    ``response.metadata`` has, beside each node's metadata, ``"usage"``, ``"edits"`` (those that
    spoke) and ``"sources"``: the passages that were read (a long node is several, each with its
    id), with their ``attribution`` where ``llm.attribute`` asks for it. Then each node's own
    metadata there has an ``attribution`` too, that of all its passages together (unless it has one
    already; the node itself stays as it is). A streamed response has them once it is read to its
    end.

    Args:
        llm: The model.
        streaming: Whether answers come piece by piece.
        callback_manager: Observes this and the model. When not given, the one of ``Settings`` does,
            whenever it is set; a model with handlers of its own keeps them.
        empty_response: What to say when nothing was retrieved.

    Raises:
        ValueError: ``llm`` is another kind of model.
    """

    def __init__(
        self,
        llm: DiekaeLLM,
        *,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
        empty_response: str | None = None,
    ) -> None:
        if not isinstance(llm, DiekaeLLM):
            raise ValueError(f"DiekaeSynthesizer needs a DiekaeLLM, got {type(llm).__name__}.")
        super().__init__(
            llm=llm,
            callback_manager=callback_manager,
            prompt_helper=llm.prompt_helper,
            streaming=streaming,
            empty_response=empty_response,
        )
        self.llm = llm
        self._own_manager = callback_manager
        self._lent_manager: CallbackManager | None = None

    @property
    def _callback_manager(self) -> CallbackManager:
        return self._own_manager or Settings.callback_manager

    @_callback_manager.setter
    def _callback_manager(self, callback_manager: CallbackManager) -> None:
        self._own_manager = callback_manager

    def synthesize(self, query: Any, nodes: list[NodeWithScore], *rest: Any, **kwargs: Any) -> Any:
        """Answers ``query`` from ``nodes``."""
        told: dict[str, Any] = {}
        self._lend_manager()
        given = {**kwargs, "documents": self._read(nodes), "told": told}
        return _with_metadata(super().synthesize(query, nodes, *rest, **given), told)

    async def asynthesize(
        self, query: Any, nodes: list[NodeWithScore], *rest: Any, **kwargs: Any
    ) -> Any:
        """``synthesize``, with the event loop free."""
        told: dict[str, Any] = {}
        self._lend_manager()
        documents = await asyncio.to_thread(self._read, nodes)
        given = {**kwargs, "documents": documents, "told": told}
        return _with_metadata(await super().asynthesize(query, nodes, *rest, **given), told)

    def get_response(
        self,
        query_str: str,
        text_chunks: Sequence[str],
        told: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> RESPONSE_TEXT_TYPE:
        """The answer to ``query_str``, from ``documents`` or else from the texts.

        Args:
            query_str: The question.
            text_chunks: What to read where there are no ``documents``.
            told: Filled with usage and sources once the answer is complete.
            **kwargs: Whatever ``DiekaeLLM.complete`` takes.
        """
        kwargs.setdefault("documents", text_chunks)
        if not self._streaming:
            return _tell(self.llm.complete(query_str, True, **kwargs), told).text
        responses = self.llm.stream_complete(query_str, True, **kwargs)

        def pieces() -> Generator[str, None, None]:
            for response in responses:
                yield _tell(response, told).delta or ""

        return pieces()

    async def aget_response(
        self,
        query_str: str,
        text_chunks: Sequence[str],
        told: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> RESPONSE_TEXT_TYPE:
        """``get_response``, with the event loop free."""
        kwargs.setdefault("documents", text_chunks)
        if not self._streaming:
            return _tell(await self.llm.acomplete(query_str, True, **kwargs), told).text
        responses = await self.llm.astream_complete(query_str, True, **kwargs)

        async def pieces() -> AsyncGenerator[str, None]:
            async with aclosing(responses):  # whoever closes this one ends the generation
                async for response in responses:
                    yield _tell(response, told).delta or ""

        return pieces()

    def _read(self, nodes: Sequence[NodeWithScore]) -> list[Passage]:
        with loud_errors():
            return read_nodes(nodes, self.llm.engine)

    def _lend_manager(self) -> None:
        """Has the model observed by the ``Settings`` of now, where nobody else observes it."""
        current = self.llm.callback_manager
        is_free = not current.handlers or current is self._lent_manager
        if self._own_manager is None and is_free:
            self.llm.callback_manager = self._lent_manager = Settings.callback_manager

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """There is no prompt but the question."""


def _tell(response: CompletionResponse, told: dict[str, Any] | None) -> CompletionResponse:
    if told is not None and response.raw:
        told.update({name: response.raw[name] for name in ("usage", "sources", "edits")})
        _attribute_nodes(told)
    return response


def _with_metadata(response: Any, told: dict[str, Any]) -> Any:
    """The response, with ``told`` beside its metadata: the same dict, for a stream fills it yet."""
    if response.metadata is not None:
        told.update({key: of_node for key, of_node in response.metadata.items() if key not in told})
        _attribute_nodes(told)
        response.metadata = told
    return response


def _attribute_nodes(told: dict[str, Any]) -> None:
    """Adds to each node's metadata what its passages contributed, where both are known."""
    totals: dict[str, dict[str, float]] = {}
    for source in told.get("sources", ()):
        if "attribution" in source and source["id"] in told:
            total = totals.setdefault(source["id"], dict.fromkeys(source["attribution"], 0.0))
            for name, value in source["attribution"].items():
                total[name] += value
    for node, total in totals.items():
        told[node] = {"attribution": total, **told[node]}

"""A response synthesizer that keeps retrieved nodes apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

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

    Args:
        llm: The model.
        streaming: Whether answers come piece by piece.
        callback_manager: Observes; the one of ``Settings`` when not given.
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

    def synthesize(self, query: Any, nodes: list[NodeWithScore], *rest: Any, **kwargs: Any) -> Any:
        """Answers ``query`` from ``nodes``."""
        return super().synthesize(query, nodes, *rest, **kwargs, documents=self._read(nodes))

    async def asynthesize(
        self, query: Any, nodes: list[NodeWithScore], *rest: Any, **kwargs: Any
    ) -> Any:
        """``synthesize``, with the event loop free."""
        documents = await asyncio.to_thread(self._read, nodes)
        return await super().asynthesize(query, nodes, *rest, **kwargs, documents=documents)

    def get_response(
        self, query_str: str, text_chunks: Sequence[str], **kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """The answer to ``query_str``, from ``documents`` or else from the texts."""
        kwargs.setdefault("documents", text_chunks)
        if self._streaming:
            return (r.delta or "" for r in self.llm.stream_complete(query_str, True, **kwargs))
        return str(self.llm.complete(query_str, True, **kwargs))

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **kwargs: Any
    ) -> RESPONSE_TEXT_TYPE:
        """``get_response``, with the event loop free."""
        kwargs.setdefault("documents", text_chunks)
        if self._streaming:
            responses = await self.llm.astream_complete(query_str, True, **kwargs)
            return (r.delta or "" async for r in responses)
        return str(await self.llm.acomplete(query_str, True, **kwargs))

    def _read(self, nodes: Sequence[NodeWithScore]) -> list[Passage]:
        with loud_errors():
            return read_nodes(nodes, self.llm.engine)

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        """There is no prompt but the question."""

"""A LangChain chain and a LlamaIndex query engine over one index and one reader.

The only file of the core that knows the two hosts, and it loads them when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from diekae_rag.answers import Answer, Usage
from diekae_rag.index import PassageIndex
from diekae_rag.model import DiekaeModel
from diekae_rag.passages import Passage

__all__ = ["langchain_way", "llama_index_way"]

_NEEDED = '{} is not installed; the demo needs it: pip install "diekae-rag[demo]"'


def langchain_way(
    model: DiekaeModel, index: PassageIndex, k: int, max_new_tokens: int
) -> Callable[[str], Answer]:
    """A retrieval chain, built as in LangChain's own documentation.

    Args:
        model: Who answers.
        index: Where passages are found.
        k: How many.
        max_new_tokens: Longest answer.

    Returns:
        From a question to the chain's answer, with what the model reported about it.

    Raises:
        ImportError: LangChain is not installed.
    """
    try:
        from langchain_classic.chains import create_retrieval_chain
        from langchain_core.callbacks import BaseCallbackHandler
        from langchain_core.outputs import LLMResult
        from langchain_core.prompts import PromptTemplate
        from langchain_diekae import DiekaeLLM, DiekaeRetriever, create_diekae_documents_chain
    except ImportError as error:
        raise ImportError(_NEEDED.format("LangChain")) from error

    class Listener(BaseCallbackHandler):
        """Keeps what the model says about each answer."""

        def __init__(self) -> None:
            self.heard: list[dict[str, Any]] = []

        def on_llm_end(self, response: LLMResult, **_: Any) -> None:
            self.heard.append(response.generations[0][0].generation_info or {})

    llm = DiekaeLLM(engine=model, max_new_tokens=max_new_tokens)
    documents_chain = create_diekae_documents_chain(llm, PromptTemplate.from_template("{input}"))
    chain = create_retrieval_chain(DiekaeRetriever(index=index, k=k), documents_chain)

    def answer(question: str) -> Answer:
        listener = Listener()
        output = chain.invoke({"input": question}, {"callbacks": [listener]})
        reports = [
            {
                **info["usage"],
                "prompt_tokens": info["usage"]["input_tokens"],
                "new_tokens": info["usage"]["output_tokens"],
            }
            for info in listener.heard
        ]
        return _answer(output["answer"], reports, [info["sources"] for info in listener.heard])

    return answer


def llama_index_way(
    model: DiekaeModel, index: PassageIndex, k: int, max_new_tokens: int
) -> Callable[[str], Answer]:
    """A query engine with LlamaIndex's own synthesizer, its context packed for the encoders.

    Args:
        model: Who answers.
        index: Where passages are found.
        k: How many.
        max_new_tokens: Longest answer.

    Returns:
        From a question to the engine's answer, with what the model reported about it.

    Raises:
        ImportError: LlamaIndex is not installed.
    """
    try:
        from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
        from llama_index.core.callbacks.base_handler import BaseCallbackHandler
        from llama_index.core.query_engine import RetrieverQueryEngine
        from llama_index.core.response_synthesizers import get_response_synthesizer
        from llama_index.core.retrievers import BaseRetriever
        from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
        from llama_index.llms.diekae import DiekaeLLM
    except ImportError as error:
        raise ImportError(_NEEDED.format("LlamaIndex")) from error

    class Retriever(BaseRetriever):
        """Finds nodes in our index."""

        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return [
                NodeWithScore(node=TextNode(text=passage.text, id_=passage.id), score=passage.score)
                for passage in index.search(query_bundle.query_str, k)
            ]

    class Listener(BaseCallbackHandler):
        """Keeps what the model says about each answer."""

        def __init__(self) -> None:
            super().__init__([], [])
            self.heard: list[dict[str, Any]] = []

        def on_event_start(self, *_: Any, event_id: str = "", **__: Any) -> str:
            return event_id

        def on_event_end(
            self,
            event_type: CBEventType,
            payload: dict[str, Any] | None = None,
            event_id: str = "",
            **_: Any,
        ) -> None:
            if event_type is CBEventType.LLM and payload and EventPayload.COMPLETION in payload:
                self.heard.append(payload[EventPayload.COMPLETION].additional_kwargs)

        def start_trace(self, trace_id: str | None = None) -> None:
            pass

        def end_trace(self, *_: Any, **__: Any) -> None:
            pass

    listener = Listener()
    callbacks = CallbackManager([listener])
    llm = DiekaeLLM(engine=model, max_new_tokens=max_new_tokens)
    synthesizer = get_response_synthesizer(
        llm=llm, prompt_helper=llm.prompt_helper, callback_manager=callbacks
    )
    engine = RetrieverQueryEngine(Retriever(), response_synthesizer=synthesizer)

    def answer(question: str) -> Answer:
        listener.heard.clear()
        response = engine.query(question)
        heard = listener.heard
        return _answer(
            str(response), [info["usage"] for info in heard], [info["sources"] for info in heard]
        )

    return answer


def _answer(
    text: str,
    reports: Sequence[Mapping[str, Any]],
    sources: Sequence[Sequence[Mapping[str, Any]]],
) -> Answer:
    """An answer that took one call of the model or, where the host refined it, several."""
    names = {item.name for item in fields(Usage)}
    usages = [Usage(**{n: v for n, v in report.items() if n in names}) for report in reports]
    total = usages[0]
    for usage in usages[1:]:
        added = {
            name: getattr(total, name) + getattr(usage, name)
            for name in names
            if name.endswith(("tokens", "tokens_kept_out", "_passages")) or name == "total_seconds"
        }
        total = replace(total, **added)
    passages = [
        Passage(item["text"], item["id"], item["score"]) for used in sources for item in used
    ]
    return Answer(text, passages, total)

"""An agent's model reads what a retriever finds, beside its messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import Runnable

from langchain_diekae.documents import to_document, to_passages

__all__ = ["DiekaeMiddleware"]


class DiekaeMiddleware(AgentMiddleware[Any, Any, Any]):
    """Before every call of an agent's model, searches for what the user said last.

    What is found goes to the model as ``documents``, behind those that ``model_settings`` has
    already: it becomes no message, and no part of the agent's state. The answer's
    ``response_metadata["sources"]`` tells it.

    Args:
        retriever: A ``DiekaeRetriever``, or whatever runnable gives documents for a question.

    Raises:
        TypeError: The retriever is no runnable; in a call, it gives something else.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langchain_diekae import ChatDiekae
        >>> find = RunnableLambda(lambda question: ["Brenk Mills is based in Oltun."])
        >>> agent = create_agent(ChatDiekae(model="demo"), middleware=[DiekaeMiddleware(find)])
        >>> state = agent.invoke({"messages": [("user", "Where is Brenk Mills based?")]})
        >>> state["messages"][-1].content
        'Oltun'
    """

    def __init__(self, retriever: Runnable[str, Any]) -> None:
        super().__init__()
        if not isinstance(retriever, Runnable):
            raise TypeError(
                f"retriever must be a LangChain runnable, got {type(retriever).__name__}; wrap a "
                "function: RunnableLambda(function)."
            )
        self.retriever = retriever

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Retrieves, and calls the model with what was found."""
        question = _last_question(request.messages)
        if not question.strip():
            return handler(request)
        return handler(_with_documents(request, self.retriever.invoke(question)))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As ``wrap_model_call``."""
        question = _last_question(request.messages)
        if not question.strip():
            return await handler(request)
        return await handler(_with_documents(request, await self.retriever.ainvoke(question)))


def _last_question(messages: list[AnyMessage]) -> str:
    asked = [message for message in messages if isinstance(message, HumanMessage)]
    return str(asked[-1].text) if asked else ""


def _with_documents(request: ModelRequest[Any], found: Any) -> ModelRequest[Any]:
    settings = request.model_settings
    passages = [*to_passages(settings.get("documents")), *to_passages(found)]
    documents = [to_document(passage) for passage in passages]
    return request.override(model_settings={**settings, "documents": documents})

"""How messages become a prompt, without what only the encoders are to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine import condense_plus_context, context
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.llms.diekae.knowledge import text_of

__all__ = ["WithoutDocuments", "without_context_wording", "without_documents", "word_messages"]

_NAMES = {MessageRole.USER: "Human", MessageRole.ASSISTANT: "AI", MessageRole.CHATBOT: "AI"}

_CONTEXT_WORDINGS = (
    context.DEFAULT_CONTEXT_TEMPLATE,
    context.DEFAULT_REFINE_TEMPLATE,
    condense_plus_context.DEFAULT_CONTEXT_PROMPT_TEMPLATE,
    condense_plus_context.DEFAULT_CONTEXT_REFINE_PROMPT_TEMPLATE,
)


def word_messages(messages: Sequence[ChatMessage]) -> str:
    r"""A conversation as one prompt: a lone user message is its text, more are a dialogue.

    Unlike the host's own function it never prints ``additional_kwargs``.

    Example:
        >>> word_messages([ChatMessage(role="user", content="Who?")])
        'Who?'
        >>> word_messages([ChatMessage("Hi.", role="assistant"), ChatMessage("Who?")])
        'AI: Hi.\nHuman: Who?\nAI:'
    """
    if [message.role for message in messages] == [MessageRole.USER]:
        return text_of(messages[0])
    turns = [
        f"{_NAMES[message.role]}: {text_of(message)}"
        if message.role in _NAMES
        else text_of(message)
        for message in messages
    ]
    return "\n".join([*turns, "AI:"]) if turns else ""


class WithoutDocuments:
    """Words messages with ``word``, which never sees the documents attached to them."""

    def __init__(self, word: Callable[[Sequence[ChatMessage]], str]) -> None:
        self.word: Callable[[Sequence[ChatMessage]], str] = word

    def __call__(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt for ``messages``."""
        return self.word([without_documents(message) for message in messages])


def without_documents(message: ChatMessage) -> ChatMessage:
    """The message without ``additional_kwargs["documents"]``."""
    others = {k: v for k, v in message.additional_kwargs.items() if k != "documents"}
    return message.model_copy(update={"additional_kwargs": others})


def without_context_wording(prompt: ChatPromptTemplate) -> ChatPromptTemplate:
    """The prompt of a chat engine without the default wording around its context.

    The user's own system prompt, which follows that wording, stays.
    """
    kept: list[ChatMessage] = []
    for message in prompt.message_templates:
        text = message.content or ""
        worded = next((w for w in _CONTEXT_WORDINGS if text.startswith(w)), None)
        if worded is None:
            kept.append(message)
        elif rest := text.removeprefix(worded).strip():
            kept.append(ChatMessage(rest, role=message.role))
    return prompt.model_copy(update={"message_templates": kept})

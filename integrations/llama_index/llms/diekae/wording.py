"""How messages become a prompt, without what only the encoders are to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.chat_engine import condense_plus_context, context
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.llms.diekae.knowledge import text_of

from diekae_rag.dialogue import Dialogue, Role, read_dialogue, word_plainly

__all__ = [
    "WithoutDocuments",
    "to_dialogue",
    "without_context_wording",
    "without_documents",
    "word_messages",
]

_ROLES: dict[MessageRole, Literal["system"] | Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
}

_CONTEXT_WORDINGS = (
    context.DEFAULT_CONTEXT_TEMPLATE,
    context.DEFAULT_REFINE_TEMPLATE,
    condense_plus_context.DEFAULT_CONTEXT_PROMPT_TEMPLATE,
    condense_plus_context.DEFAULT_CONTEXT_REFINE_PROMPT_TEMPLATE,
)


def to_dialogue(messages: Sequence[ChatMessage]) -> Dialogue:
    """What messages say; what a tool says is said to the model, so it is a user's turn.

    Raises:
        ValueError: Nothing is asked, or the last message is an answer.
    """
    return read_dialogue([(_ROLES.get(m.role, "user"), text_of(m)) for m in messages])


def word_messages(messages: Sequence[ChatMessage]) -> str:
    r"""A conversation in the plain form, as encoders are trained on dialogues.

    Unlike the host's own function it never prints ``additional_kwargs``.

    Example:
        >>> word_messages([ChatMessage(role="user", content="Who?")])
        'Who?'
        >>> talk = [ChatMessage("Hi."), ChatMessage("Ho.", role="assistant"), ChatMessage("Who?")]
        >>> word_messages(talk)
        'Hi. [SYS] Ho. [USR] Who?'
    """
    return word_plainly(to_dialogue(messages))


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

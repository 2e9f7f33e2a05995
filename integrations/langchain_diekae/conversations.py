"""Messages as a dialogue, and the passages that they bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from diekae_rag.dialogue import Dialogue, Role, read_dialogue
from diekae_rag.passages import Passage
from langchain_diekae.message_documents import read_message
from langchain_diekae.wire import Wire

__all__ = ["read_conversation"]

_ROLES: dict[str, Literal["system"] | Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def read_conversation(
    messages: Sequence[BaseMessage], wire: Wire
) -> tuple[Dialogue, list[Passage]]:
    r"""Reads messages: what is said, and the passages they bring, the last message's first.

    What a tool says is said to the model, so it is a user's turn; messages without text (an answer
    that only calls a tool, say) are no turns.

    Raises:
        ValueError: Nothing is asked, the last turn is an answer, or a role is unknown.

    Example:
        >>> messages = [SystemMessage("Be brief."), HumanMessage("Hello."), HumanMessage("Who?")]
        >>> read_conversation(messages, Wire("0"))[0].turns
        [('user', 'Hello.\nWho?')]
    """
    said: list[tuple[Literal["system"] | Role, str]] = []
    found: list[Passage] = []
    for message in messages:
        text, passages = read_message(message, wire)
        said.append((_role(message), text))
        found = [*passages, *found]
    return read_dialogue(said), found


def _role(message: BaseMessage) -> Literal["system"] | Role:
    if isinstance(message, ChatMessage) and message.role in _ROLES:
        return _ROLES[message.role]
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, HumanMessage | ToolMessage | FunctionMessage):
        return "user"
    name = f"the role {message.role!r}" if isinstance(message, ChatMessage) else message.type
    raise ValueError(
        f"a message of {name} cannot be worded; there are messages of the system, users, "
        "assistants and tools."
    )

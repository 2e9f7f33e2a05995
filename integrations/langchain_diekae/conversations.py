"""Messages as a conversation: what is laid down, whose turn it is, and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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

from diekae_rag.passages import Passage
from langchain_diekae.message_documents import read_message
from langchain_diekae.wire import Wire

__all__ = ["Conversation", "Role", "read_conversation"]

Role = Literal["user", "assistant"]
_ROLES: dict[str, Literal["system"] | Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


@dataclass(slots=True)
class Conversation:
    """A conversation whose last turn is to be answered.

    Args:
        system: What holds throughout; empty where there is nothing.
        turns: Who said what; the same speaker never comes twice in a row.
        passages: What the messages brought, the last message's first.
    """

    system: str = ""
    turns: list[tuple[Role, str]] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)


def read_conversation(messages: Sequence[BaseMessage], wire: Wire) -> Conversation:
    r"""Reads messages in order.

    Texts of system messages come together, wherever they stood; so do texts of one speaker in a
    row, each on a line of its own. What a tool says is said to the model, so it is a user's turn;
    messages without text (an answer that only calls a tool, say) are no turns.

    Raises:
        ValueError: Nothing is asked, the last turn is an answer, or a role is unknown.

    Example:
        >>> messages = [SystemMessage("Be brief."), HumanMessage("Hello."), HumanMessage("Who?")]
        >>> read_conversation(messages, Wire("0")).turns
        [('user', 'Hello.\nWho?')]
    """
    system: list[str] = []
    turns: list[tuple[Role, str]] = []
    found: list[list[Passage]] = []
    for message in messages:
        role = _role(message)
        text, passages = read_message(message, wire)
        found.insert(0, passages)
        if not text.strip():
            continue
        if role == "system":
            system.append(text)
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n{text}")
        else:
            turns.append((role, text))
    if not turns:
        raise ValueError("the messages are empty of any question; end them with a HumanMessage.")
    if turns[-1][0] == "assistant":
        raise ValueError(
            "the last message is an answer, and nothing is asked after it; end the messages with a "
            "HumanMessage."
        )
    return Conversation("\n".join(system), turns, [p for passages in found for p in passages])


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

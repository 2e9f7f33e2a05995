"""A conversation as the text of a prompt: by the base tokenizer's chat template, or plainly."""

from __future__ import annotations

from typing import Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from langchain_diekae.conversations import Conversation, Role

__all__ = ["ChatFormat", "check_format", "word", "word_plainly", "word_with_template"]

ChatFormat = Literal["auto", "template", "plain"]
_MARKS: dict[Role, str] = {"user": "[USR]", "assistant": "[SYS]"}


def check_format(chat_format: ChatFormat, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuses a format that cannot be had.

    Raises:
        ValueError: A template is asked for, and the tokenizer has none.
    """
    if chat_format == "template" and not tokenizer.chat_template:
        raise ValueError(
            "chat_format='template' needs a tokenizer with a chat_template; this one has none. Set "
            "tokenizer.chat_template, or take chat_format='plain'."
        )


def word(
    conversation: Conversation, chat_format: ChatFormat, tokenizer: PreTrainedTokenizerBase
) -> tuple[str, bool]:
    """A conversation as a prompt, and whether that is worded already."""
    if chat_format != "plain" and tokenizer.chat_template:
        return word_with_template(conversation, tokenizer), True
    return word_plainly(conversation), False


def word_plainly(conversation: Conversation) -> str:
    r"""The form in which encoders are trained on dialogues.

    The system's text stands first, on lines of its own. Turns are marked, but for a user's turn at
    the very beginning: the wording around a prompt says that much. So one question is itself.

    Example:
        >>> turns = [("user", "Who?"), ("assistant", "Ada."), ("user", "Where?")]
        >>> word_plainly(Conversation(turns=turns))
        'Who? [SYS] Ada. [USR] Where?'
        >>> word_plainly(Conversation("Be brief.", [("user", "Who?")]))
        'Be brief.\nWho?'
    """
    (role, first), *later = conversation.turns
    opening = first if role == "user" else f"{_MARKS[role]} {first}"
    text = " ".join((opening, *(f"{_MARKS[who]} {said}" for who, said in later)))
    return f"{conversation.system}\n{text}" if conversation.system else text


def word_with_template(conversation: Conversation, tokenizer: PreTrainedTokenizerBase) -> str:
    """A whole prompt, special tokens included, up to where the answer begins.

    What looks like a special token inside a message gets a blank after its first character: no
    message can end its own turn or begin another.

    Raises:
        ValueError: The template refuses the conversation (some know no system text).
    """
    turns: list[tuple[str, str]] = [*conversation.turns]
    if conversation.system:
        turns.insert(0, ("system", conversation.system))
    messages = [{"role": role, "content": _defuse(text, tokenizer)} for role, text in turns]
    try:
        rendered = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
    except TemplateError as error:
        raise ValueError(
            f"the tokenizer's chat template refuses this conversation ({error}). Leave out what it "
            "does not know, as many do system messages, or take chat_format='plain'."
        ) from error
    return str(rendered)


def _defuse(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    return text

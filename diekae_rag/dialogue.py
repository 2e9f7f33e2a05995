"""A dialogue as the text of a prompt: by the base tokenizer's chat template, or plainly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

__all__ = [
    "ChatFormat",
    "Dialogue",
    "Role",
    "check_format",
    "read_dialogue",
    "word",
    "word_plainly",
    "word_with_template",
]

ChatFormat = Literal["auto", "template", "plain"]
Role = Literal["user", "assistant"]
_MARKS: dict[Role, str] = {"user": "[USR]", "assistant": "[SYS]"}


@dataclass(slots=True)
class Dialogue:
    """A dialogue whose last turn is to be answered.

    Args:
        system: What holds throughout; empty where there is nothing.
        turns: Who said what; the same speaker never comes twice in a row.
    """

    system: str = ""
    turns: list[tuple[Role, str]] = field(default_factory=list)


def read_dialogue(said: Iterable[tuple[Literal["system"] | Role, str]]) -> Dialogue:
    r"""Puts together what was said, in order.

    What the system says comes together, wherever it stood; so does what one speaker says in a row,
    each on a line of its own. Blank texts are no turns.

    Raises:
        ValueError: Nothing is asked, or the last turn is an answer.

    Example:
        >>> read_dialogue([("system", "Be brief."), ("user", "Hello."), ("user", "Who?")])
        Dialogue(system='Be brief.', turns=[('user', 'Hello.\nWho?')])
    """
    system: list[str] = []
    turns: list[tuple[Role, str]] = []
    for role, text in said:
        if not text.strip():
            continue
        if role == "system":
            system.append(text)
        elif turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n{text}")
        else:
            turns.append((role, text))
    if not turns:
        raise ValueError("the messages are empty of any question; end them with a user's.")
    if turns[-1][0] == "assistant":
        raise ValueError(
            "the last message is an answer, and nothing is asked after it; end the messages with a "
            "user's."
        )
    return Dialogue("\n".join(system), turns)


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
    dialogue: Dialogue, chat_format: ChatFormat, tokenizer: PreTrainedTokenizerBase
) -> tuple[str, bool]:
    """A dialogue as a prompt, and whether that is worded already."""
    if chat_format != "plain" and tokenizer.chat_template:
        return word_with_template(dialogue, tokenizer), True
    return word_plainly(dialogue), False


def word_plainly(dialogue: Dialogue) -> str:
    r"""The form in which encoders are trained on dialogues.

    The system's text stands first, on lines of its own. Turns are marked, but for a user's turn at
    the very beginning: the wording around a prompt says that much. So one question is itself.

    Example:
        >>> turns = [("user", "Who?"), ("assistant", "Ada."), ("user", "Where?")]
        >>> word_plainly(Dialogue(turns=turns))
        'Who? [SYS] Ada. [USR] Where?'
        >>> word_plainly(Dialogue("Be brief.", [("user", "Who?")]))
        'Be brief.\nWho?'
    """
    (role, first), *later = dialogue.turns
    opening = first if role == "user" else f"{_MARKS[role]} {first}"
    text = " ".join((opening, *(f"{_MARKS[who]} {said}" for who, said in later)))
    return f"{dialogue.system}\n{text}" if dialogue.system else text


def word_with_template(dialogue: Dialogue, tokenizer: PreTrainedTokenizerBase) -> str:
    """A whole prompt, special tokens included, up to where the answer begins.

    What looks like a special token inside a message gets a blank after its first character: no
    message can end its own turn or begin another.

    Raises:
        ValueError: The template refuses the conversation (some know no system text).
    """
    turns: list[tuple[str, str]] = [*dialogue.turns]
    if dialogue.system:
        turns.insert(0, ("system", dialogue.system))
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

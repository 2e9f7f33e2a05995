"""An edit: a fact as it is to be from now on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from diekae_rag.editing.words import masked, plain_words, read_words
from diekae_rag.index.encodable import encodable_text
from diekae_rag.passages import Passage

__all__ = ["Edit", "as_edit", "edit_key"]

_NAMES = {"old": "target_true", "new": "target_new"}  # ours, and those of CounterFact


@dataclass(frozen=True)
class Edit:
    """A fact that was, and what it is to be.

    Args:
        subject: Whom or what it is about.
        prompt: What the fact completes. It names the subject, or else has ``{}`` in its place.
        old: How it was completed before.
        new: How it is completed from now on.
        id: Given when it is added; ``""`` before.
        replaces: The id of the edit about the same subject and prompt that was in force when this
            one was added: this one wins until it is removed.

    Raises:
        ValueError: A part is empty, the targets are the same, or the prompt names no subject.
        TypeError: A part is no text.

    Example:
        >>> edit = Edit("Drola Brenk", "{} was born in", "Oltun", "Kolwick")
        >>> edit.prompt, edit.passage.text
        ('Drola Brenk was born in', 'Drola Brenk was born in Kolwick.')
    """

    subject: str
    prompt: str
    old: str
    new: str
    id: str = ""
    replaces: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("subject", "prompt", "old", "new"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise TypeError(f"an edit's {name} must be a str, got {type(text).__name__}.")
            if not (text := encodable_text(text).strip()):
                raise ValueError(f"an edit's {name} is empty; say what it is.")
            object.__setattr__(self, name, text)
        if self.old == self.new:
            raise ValueError(f"the edit changes nothing: old and new are both {self.new!r}.")
        if not plain_words(self.subject):
            raise ValueError(f"the subject {self.subject!r} has no letter or digit to know it by.")
        if "{}" in self.subject:
            raise ValueError(f"the subject {self.subject!r} has {{}} in it, which stands for one.")
        named = rf"(?<!\w){re.escape(self.subject)}(?!\w)"
        if not re.search(named, self.prompt):  # else braces mean themselves
            object.__setattr__(self, "prompt", self.prompt.replace("{}", self.subject))
        if not self._places:
            raise ValueError(
                f"the prompt {self.prompt!r} does not name the subject {self.subject!r}; write it "
                "as the prompt has it, or put {} in its place."
            )

    @property
    def passage(self) -> Passage:
        """What the encoders read of it."""
        end = "" if self.new[-1] in ".!?\u3002" else "."
        about = {"edit": self.id, "subject": self.subject, "old": self.old, "new": self.new}
        return Passage(f"{self.prompt} {self.new}{end}", f"edit-{self.id}", metadata=about)

    def about(self, subject: str) -> str:
        """The prompt with another subject.

        Example:
            >>> Edit("Drola Brenk", "{} was born in", "Oltun", "Kolwick").about("Ilma Bresk")
            'Ilma Bresk was born in'
        """
        text, words = read_words(self.prompt)
        for first, end in reversed(self._places):
            text = text[: words[first].start] + subject + text[words[end - 1].end :]
        return text

    @cached_property
    def relation(self) -> str:
        """What is said of the subject: the prompt with a placeholder in its place."""
        return masked(*read_words(self.prompt), self._places)

    @cached_property
    def key(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What it is about, as words: two edits with the same key contradict each other."""
        return edit_key(plain_words(self.subject), self.relation)

    @cached_property
    def _places(self) -> list[tuple[int, int]]:
        subject, words = plain_words(self.subject), plain_words(self.prompt)
        places: list[tuple[int, int]] = []
        for first in range(len(words)):
            end = first + len(subject)
            if words[first:end] == subject and (not places or places[-1][1] <= first):
                places.append((first, end))
        return places

    def to_dict(self) -> dict[str, Any]:
        """The edit as JSON values."""
        names = ("id", "subject", "prompt", "old", "new", "replaces")
        return {name: getattr(self, name) for name in names}


def edit_key(subject: tuple[str, ...], relation: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The key of an edit with this subject and this relation."""
    return subject, plain_words(relation)


def as_edit(item: Edit | Mapping[str, Any] | Any) -> Edit:
    """Reads an edit from what users have at hand.

    Args:
        item: An ``Edit``; a mapping with ``subject``, ``prompt``, ``old`` or ``target_true``, and
            ``new`` or ``target_new``; one of CounterFact's records; or an object with these names.
            Whatever else it says is passed over.

    Raises:
        ValueError: Something is missing; or as for ``Edit``.
        TypeError: It is none of these.

    Example:
        >>> record = {"subject": "Ada", "prompt": "{} lives in", "target_true": {"str": "Rome"}}
        >>> as_edit({"requested_rewrite": {**record, "target_new": {"str": "Turin"}}}).new
        'Turin'
    """
    if isinstance(item, Edit):
        return Edit(item.subject, item.prompt, item.old, item.new)
    if isinstance(item, str | bytes | Iterable) and not isinstance(item, Mapping):
        raise TypeError(f"an edit must be a mapping or an Edit, got {type(item).__name__}.")
    row: Any = item.get("requested_rewrite", item) if isinstance(item, Mapping) else item
    return Edit(*(_read(row, name) for name in ("subject", "prompt", "old", "new")))


def _read(row: Any, name: str) -> Any:
    for each in (name, _NAMES.get(name, name)):
        value = row.get(each) if isinstance(row, Mapping) else getattr(row, each, None)
        if value is not None:
            return value.get("str") if isinstance(value, Mapping) else value
    other = f" (or {_NAMES[name]!r})" if name in _NAMES else ""
    raise ValueError(f"an edit needs {name!r}{other}; it has subject, prompt, old and new.")

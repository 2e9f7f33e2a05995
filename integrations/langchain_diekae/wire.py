"""How passages travel inside a prompt string, through chains that know nothing but strings.

A segment is ``[[diekae:NONCE]]``, a flat JSON object and ``[[/diekae:NONCE]]``. In the object every
``[`` is written as an escape, so that no passage can contain a delimiter, not even one that knows
the nonce. The nonce keeps the rest of a prompt, such as a user's question, from imitating one.
"""

from __future__ import annotations

import json
import re
import secrets
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from diekae_rag.passages import Passage

__all__ = ["PROCESS_NONCE", "Wire"]

PROCESS_NONCE = secrets.token_hex(8)
"""The nonce of this process: one for all, so that a fallback reads what the first model wrapped."""

_FOREIGN = re.compile(r'\[\[diekae:([\w-]+)\]\]\{"text": [^\[]*\}\[\[/diekae:\1\]\]')


@dataclass(frozen=True, slots=True)
class Wire:
    r"""Wraps passages into segments, and takes segments out of a prompt again.

    Args:
        nonce: Letters, digits, ``-`` and ``_``; not to be guessed by those who write prompts.

    Raises:
        ValueError: The nonce is empty or has other characters.

    Example:
        >>> wire = Wire("0")
        >>> prompt = f"Context:\n\n{wire.wrap([Passage('Turin.', id='t')])}\n\nQuestion: Where?"
        >>> text, passages = wire.take(prompt)
        >>> text, passages[0].text
        ('Context:\n\nQuestion: Where?', 'Turin.')
    """

    nonce: str = PROCESS_NONCE

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.nonce):
            raise ValueError(
                f"a nonce has letters, digits, - and _ only, and at least one; got {self.nonce!r}."
            )

    def wrap(self, passages: Iterable[Passage]) -> str:
        """Segments to be put where a prompt would have had the texts.

        Without passages it is a segment that holds none: what was around it closes up all the same.

        Raises:
            TypeError: Metadata has keys that JSON cannot hold.
        """
        return "\n\n".join(self._segment(_fields(p)) for p in passages) or self._segment({})

    def attach(self, prompt: str, passages: Iterable[Passage]) -> str:
        """The prompt with passages before it; ``take`` gives it back to the character."""
        return "".join(self._segment({**_fields(p), "attached": True}) for p in passages) + prompt

    def take(self, prompt: str) -> tuple[str, list[Passage]]:
        """The prompt without segments, and what was in them.

        Where segments stood, spaces and blank lines are closed up to what would stand there if
        nothing had: at most one blank line in the middle, none at either end. All other text is
        left as it is, and so is whatever looks like a segment and is none.

        Example:
            >>> Wire("0").take('[[diekae:0]]{"text": 1}[[/diekae:0]]')
            ('[[diekae:0]]{"text": 1}[[/diekae:0]]', [])
        """
        begin, end = self._delimiters()
        parts = re.split(f"({re.escape(begin)}{{[^\\[]*}}{re.escape(end)})", prompt)
        texts, passages = [parts[0]], []
        for segment, following in zip(parts[1::2], parts[2::2], strict=True):
            fields = _read(segment[len(begin) : -len(end)])
            if fields is None:
                texts[-1] += segment + following
                continue
            if fields:
                passages.append(_passage(fields))
            if fields.get("attached"):
                texts[-1] += following
            else:
                texts.append(following)
        text = texts[0]
        for number, following in enumerate(texts[1:], 2):
            if number == len(texts) or following.strip():
                text = _close_up(text, following)
        if any(nonce != self.nonce for nonce in _FOREIGN.findall(text)):
            warnings.warn(
                "the prompt holds passages that another nonce wrapped, and the base model reads "
                "them: use document_prompt and format_docs of the model that answers, or give both "
                "the same nonce.",
                stacklevel=2,
            )
        return text, passages

    def take_all(self, prompt: str) -> tuple[str, list[Passage]]:
        """As ``take``, for the model that answers: nothing of a segment may be left to it.

        Raises:
            ValueError: A segment was cut or escaped, so that it is one no more.
        """
        text, passages = self.take(prompt)
        if f"diekae:{self.nonce}" in text:
            raise ValueError(
                "documents in this prompt were altered on the way (cut, or escaped by a mustache "
                "template: write {{{context}}}), and the base model would read them. Hand the "
                "prompt on as it is, or pass the documents to the model with documents=."
            )
        return text, passages

    def _delimiters(self) -> tuple[str, str]:
        return f"[[diekae:{self.nonce}]]", f"[[/diekae:{self.nonce}]]"

    def _segment(self, fields: dict[str, Any]) -> str:
        """The object is flat: a ``[`` can only be inside its strings, where JSON can escape it."""
        begin, end = self._delimiters()
        payload = json.dumps(fields, ensure_ascii=False).replace("[", "\\u005b")
        encodable = re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", payload)
        return f"{begin}{encodable}{end}"


def _fields(passage: Passage) -> dict[str, Any]:
    score = None if passage.score is None else float(passage.score)
    metadata = json.dumps(dict(passage.metadata), default=str)
    return {"text": passage.text, "id": passage.id, "score": score, "metadata": metadata}


def _passage(fields: dict[str, Any]) -> Passage:
    metadata = json.loads(fields["metadata"])
    return Passage(fields["text"], fields["id"], fields["score"], metadata)


def _read(payload: str) -> dict[str, Any] | None:
    """What ``_segment`` wrote, or ``None`` where something else stands between delimiters."""
    try:
        fields = json.loads(payload)
        if fields and not isinstance(_passage(fields).metadata, dict):
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return dict(fields)


def _close_up(before: str, after: str) -> str:
    r"""Joins two texts between which a segment stood.

    Example:
        >>> _close_up("Use the context.\n\n", "\n\nQuestion: Who?")
        'Use the context.\n\nQuestion: Who?'
    """
    left = before.rstrip()
    blank = re.match(r"(?:[^\S\n]*\n)*", after)
    assert blank is not None  # it matches nothing at all, if need be
    right = after[blank.end() :]
    if not blank.end():
        right = right.lstrip()
    elif not right.strip():
        right = ""
    if not left or not right:
        return left + right
    lines = min(2, max(before[len(left) :].count("\n"), blank[0].count("\n")))
    is_spaced = len(left) < len(before) or len(right) < len(after)
    return left + ("\n" * lines or " " * is_spaced) + right

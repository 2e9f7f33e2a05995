"""How knowledge and prompts are worded: part of a trained encoder's config, not of the code."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase

__all__ = ["Wording", "decode", "start_tokens", "tokenize_worded"]


@dataclass(frozen=True, slots=True)
class Wording:
    """The templates an encoder was trained with.

    What a template says around its placeholder may hold special tokens; the text that fills it may
    not: there, ``</s>`` or ``[SYS]`` are characters like any others, so that no passage and no
    prompt can imitate a delimiter. A blank before a placeholder is tokenized with the text, so that
    its first word is the same token as within a sentence.

    Args:
        passage: How one passage is worded, with ``{passage}``; many are put one after the other.
        prompt: How a prompt is worded, with ``{prompt}``.
        answer: How an answer is worded in training and scoring, with ``{answer}``; an end of
            sequence follows.

    Raises:
        ValueError: A template lacks its placeholder, or has it twice.

    Example:
        >>> Wording().prompt.format(prompt="Who?")
        'Who?'
    """

    passage: str = "Imagine that {{passage}} "
    prompt: str = "{prompt}"
    answer: str = " {answer}"

    def __post_init__(self) -> None:
        for name in ("passage", "prompt", "answer"):
            template = getattr(self, name)
            if not isinstance(template, str):
                raise ValueError(f"wording.{name} must be a text, got {template!r}.")
            if template.count(f"{{{name}}}") != 1:
                raise ValueError(
                    f"wording.{name} must contain {{{name}}} exactly once, got {template!r}."
                )

    def to_dict(self) -> dict[str, Any]:
        """The templates as JSON values."""
        return asdict(self)

    def tokenize_passages(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Sequence[str],
        max_tokens: int | None = None,
    ) -> list[list[int]]:
        """Token ids of each passage as worded, without beginning of sequence.

        Args:
            tokenizer: The base model's.
            texts: The passages.
            max_tokens: Longest passage; the text is cut at its end, the wording around it stays.
        """
        return _fill(tokenizer, self.passage, "{passage}", texts, max_tokens)

    def tokenize_prompts(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
    ) -> list[list[int]]:
        """Token ids of each prompt as worded, without beginning of sequence."""
        return _fill(tokenizer, self.prompt, "{prompt}", texts)

    def tokenize_answers(
        self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
    ) -> list[list[int]]:
        """Token ids of each answer as worded, with an end of sequence where there is one."""
        end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        return [row + end for row in _fill(tokenizer, self.answer, "{answer}", texts)]

    def for_worded_prompts(self) -> Wording:
        """The same for prompts that are worded already: nothing goes around them or an answer.

        Example:
            >>> Wording(prompt="[USR] {prompt}[SYS]").for_worded_prompts().prompt
            '{prompt}'
        """
        return replace(self, prompt="{prompt}", answer="{answer}")

    def read_answer(self, text: str) -> str:
        """The answer without what the wording puts before it.

        Example:
            >>> Wording(answer=" {answer}").read_answer(" Turin")
            'Turin'
        """
        before = self.answer.partition("{answer}")[0]
        return "" if before.startswith(text) else text.removeprefix(before)


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Generated tokens as text, special tokens left out."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


def start_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What this tokenizer begins a sequence with: usually one token, or nothing."""
    with _own_copy(tokenizer) as own:
        return [token for token in own("").input_ids if token != tokenizer.eos_token_id]


def tokenize_worded(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text that is a whole prompt: what looks like a special token in it is one."""
    with _own_copy(tokenizer) as own:
        return list(
            own(text.encode("utf-8", "replace").decode(), add_special_tokens=False).input_ids
        )


_COPIES: WeakKeyDictionary[PreTrainedTokenizerBase, PreTrainedTokenizerBase] = WeakKeyDictionary()
_TOKENIZING = threading.Lock()


@contextmanager
def _own_copy(tokenizer: PreTrainedTokenizerBase) -> Iterator[PreTrainedTokenizerBase]:
    """A copy that nobody else uses, one thread at a time.

    ``split_special_tokens`` is a switch inside a tokenizer: whoever called it in another thread
    meanwhile would turn a passage's ``</s>`` into the special token.
    """
    with _TOKENIZING:
        if tokenizer not in _COPIES:
            _COPIES[tokenizer] = copy.deepcopy(tokenizer)
        yield _COPIES[tokenizer]


def _fill(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    placeholder: str,
    texts: Sequence[str],
    max_tokens: int | None = None,
) -> list[list[int]]:
    """Tokenizes a template around each text; only the template may hold special tokens."""
    if not texts:
        return []
    before, after = template.split(placeholder)
    blank = " " if before.endswith(" ") else ""
    cleaned = [blank + text.encode("utf-8", "replace").decode() for text in texts]
    with _own_copy(tokenizer) as own:
        literals = own([before.removesuffix(" "), after], add_special_tokens=False).input_ids
        filled = own(cleaned, add_special_tokens=False, split_special_tokens=True).input_ids
    room = None if max_tokens is None else max(0, max_tokens - len(literals[0]) - len(literals[1]))
    return [literals[0] + list(row)[:room] + literals[1] for row in filled]

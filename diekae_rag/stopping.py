"""When a generation ends: stop strings of any length, a reader who went away, the first token."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria

from diekae_rag.prompting import Wording, decode

__all__ = ["Watch", "check_stop", "hold_back", "stop_tokens", "trim_at_stop"]


def check_stop(stop: Sequence[str] | str | None) -> list[str]:
    """Reads stop strings from what users pass.

    Raises:
        ValueError: A stop string is empty: it would end every answer before it begins.
        TypeError: Something is not a string.

    Example:
        >>> check_stop("END"), check_stop(None)
        (['END'], [])
    """
    stops = [stop] if isinstance(stop, str) else list(stop or [])
    for item in stops:
        if not isinstance(item, str):
            raise TypeError(f"stop strings must be str, got {type(item).__name__}.")
        if not item:
            raise ValueError("a stop string is empty; leave it out, or give it characters.")
    return stops


def stop_tokens(tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> list[int]:
    """Ids of the stop strings that are special tokens, which no text ever shows.

    Raises:
        ValueError: A stop string has a special token among other characters: it would never come.
    """
    special = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    for stop in stops:
        if inside := [token for token in special if token in stop and token != stop]:
            raise ValueError(
                f"the stop string {stop!r} has the special token {inside[0]!r} among other "
                "characters, which never come together; give each by itself."
            )
    return [special[stop] for stop in stops if stop in special]


def trim_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the earliest stop string, and whether there was one.

    Example:
        >>> trim_at_stop("one two three", ["three", "two"])
        ('one ', True)
    """
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def hold_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end might be the beginning of a stop string.

    Example:
        >>> hold_back("so E", ["END"])
        1
    """
    longest = max(map(len, stops), default=1) - 1
    for count in range(min(longest, len(text)), 0, -1):
        if any(stop.startswith(text[-count:]) for stop in stops):
            return count
    return 0


class Watch(StoppingCriteria):
    """Looks at every new token: ends rows at stop strings, ends all when cancelled.

    Args:
        tokenizer: Decodes what was generated.
        wording: What stands before an answer is no part of it, and stops nothing.
        prompt_length: Length of the padded prompt.
        stops: Stop strings.
        on_token: Called with all ids, ``[B, T]``, after each token.
        ends: Ids that end a row.

    ``on_row``, where it is set, is called once for each row that an end or a stop string ends, with
    its number and its new ids; for rows that get one token at a time.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        wording: Wording,
        prompt_length: int,
        stops: Sequence[str] = (),
        on_token: Callable[[Tensor], None] | None = None,
        ends: Collection[int] = (),
    ) -> None:
        self.tokenizer, self.wording, self.prompt_length = tokenizer, wording, prompt_length
        self.stops, self.on_token = list(stops), on_token
        self.ends = list(ends)
        self.on_row: Callable[[int, list[int]], None] | None = None
        self._over: set[int] = set()
        self.cancelled = threading.Event()
        self.first_token_at: float | None = None
        self._seen = prompt_length  # several tokens may come at once, with prompt lookup
        # A stop string of n characters lies within n tokens, and a character in at most 4 bytes.
        self._tail = 4 * max(map(len, self.stops), default=0) + 8

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """``[B]`` bool, true for rows that are done."""
        if self.first_token_at is None:
            if input_ids.is_cuda:
                torch.cuda.synchronize(input_ids.device)
            self.first_token_at = time.perf_counter()
        if self.on_token is not None:
            self.on_token(input_ids)
        done = torch.full((input_ids.shape[0],), self.cancelled.is_set(), device=input_ids.device)
        if self.stops and not self.cancelled.is_set():
            seen, self._seen = self._seen, input_ids.shape[1]
            first = max(self.prompt_length, min(seen, self._seen) - self._tail)
            for row, ids in enumerate(input_ids[:, first:].tolist()):
                if self._has_stop(decode(self.tokenizer, ids)):  # perhaps in what the wording adds
                    new = input_ids[row, self.prompt_length :].tolist()
                    done[row] = self._has_stop(
                        self.wording.read_answer(decode(self.tokenizer, new))
                    )
        if self.on_row is not None and not self.cancelled.is_set():
            for row, (last, is_done) in enumerate(
                zip(input_ids[:, -1].tolist(), done.tolist(), strict=True)
            ):
                if row not in self._over and (is_done or last in self.ends):
                    self._over.add(row)
                    self.on_row(row, input_ids[row, self.prompt_length :].tolist())
        return done

    def _has_stop(self, text: str) -> bool:
        return any(stop in text for stop in self.stops)

"""From prompts and passages to tensors: wording, truncation, padding.

Axes: B rows, T positions. Knowledge is cut where it does not fit, and that is said; a prompt never
is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.answers import Mode
from diekae_rag.config import DiekaeConfig
from diekae_rag.editing.edit import Edit
from diekae_rag.editing.written import WrittenEdits
from diekae_rag.errors import PromptTooLongError
from diekae_rag.passages import Passage
from diekae_rag.prompting import Wording, start_tokens, tokenize_worded
from diekae_rag.warning import warn

__all__ = ["Request", "cut_passages", "encoder_texts", "pad_left", "prepare"]


@dataclass(slots=True)
class Request:
    """One prompt, ready to be read.

    Args:
        prompt: The user's text.
        is_worded: The prompt was read as it is.
        passages: The passages that are used, in the order given.
        input_ids: What the base model reads.
        is_prompt: Which of those tokens the encoders read too; not the stuffed passages.
        knowledge: What the encoders read before the prompt: each text's token ids.
        knowledge_tokens: Tokens of passages, whichever way they go.
        truncated_tokens: Tokens of passages cut.
        dropped_passages: Passages left out.
        mode_reason: Why the passages go this way, where that was chosen.
        edits: Which edits the prompt means, among the passages or in weights.
        num_edits: How many passages, the first ones, are edits.
        written: The edits in weights that are injected whatever the prompt says.
    """

    prompt: str
    is_worded: bool
    passages: list[Passage]
    input_ids: list[int]
    is_prompt: list[bool]
    knowledge: list[list[int]]
    knowledge_tokens: int
    truncated_tokens: int
    dropped_passages: int
    mode_reason: str = ""
    edits: list[Edit] = field(default_factory=list)
    num_edits: int = 0
    written: WrittenEdits | None = None


def prepare(
    prompt: str,
    passages: Sequence[Passage],
    mode: Mode,
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
    window: int,
    max_new_tokens: int,
    is_worded: bool = False,
    *,
    warns: bool = True,
    num_edits: int = 0,
    tokens_of: Callable[[str], Sequence[int] | None] = lambda text: None,
) -> Request:
    """Words and tokenizes one prompt and its passages.

    Args:
        prompt: The user's text.
        passages: What was retrieved, best first: what does not fit is left out from the end.
        mode: Which way the passages go.
        tokenizer: The base model's.
        config: Wording and limits.
        window: How many positions the base model has.
        max_new_tokens: Room to leave for the answer.
        is_worded: The prompt is read as it is, with the special tokens it has and no others.
        warns: Whether to warn where passages do not fit.
        num_edits: How many of the passages, the first ones, are edits.
        tokens_of: What encoders read of a passage, where that is known.

    Raises:
        TypeError: The prompt is no text.
        ValueError: The prompt is empty.
        PromptTooLongError: The prompt alone does not fit.
    """
    if not isinstance(prompt, str):
        raise TypeError(f"a prompt must be a str, got {type(prompt).__name__}.")
    if not prompt.strip():
        raise ValueError("the prompt is empty; ask something.")
    wording = Wording(**(config.wording or {}))
    start = start_tokens(tokenizer)
    opening, question = _read_prompt(prompt, tokenizer, wording, start, is_worded)
    room = window - len(opening) - len(question) - max_new_tokens
    if room < 0:
        raise PromptTooLongError(
            f"the prompt has {len(opening) + len(question)} tokens and {max_new_tokens} are to be "
            f"generated; the base model has {window} positions. Shorten the prompt by "
            f"{-room} tokens or lower max_new_tokens."
        )
    readable = [p for p in passages if not p.is_blank] if mode != "none" else []
    known = [tokens_of(passage.text) for passage in readable]
    whole = _tokenize([p.text for p in readable], known, tokenizer, config)
    kept = list(readable)
    encoded: list[list[int]] = []
    stuffed: list[int] = []
    if mode in ("inject", "combine"):
        kept = kept[: config.max_passages]
        texts = cut_passages([p.text for p in kept], tokenizer, config, whole[: len(kept)])
        encoded = encoder_texts(texts, start, config)
    if mode in ("stuff", "combine"):
        stuffed, fitting = _fit(whole[: len(kept)], room)
        kept = kept if mode == "combine" else kept[:fitting]
    read = sum(map(len, encoded)) - len(start) * len(encoded) if encoded else len(stuffed)
    total = sum(map(len, whole))
    lost_to_encoders = total - read if mode in ("inject", "combine") else 0
    offered = total if mode == "stuff" else sum(map(len, whole[: len(kept)]))
    lost_to_prompt = offered - len(stuffed) if mode in ("stuff", "combine") else 0
    if warns and lost_to_encoders > 0:
        warn(
            f"the passages were truncated by {lost_to_encoders} of {total} tokens: encoders read "
            f"{config.max_passages} passages, each of at most {config.max_passage_tokens} tokens."
        )
    if warns and lost_to_prompt > 0:
        warn(
            f"the passages were truncated by {lost_to_prompt} of {total} tokens: the base model "
            f"has {room} positions left for them."
        )
    cut = max(lost_to_encoders, lost_to_prompt)
    dropped = len(passages) - len(kept)
    return Request(
        prompt=prompt,
        is_worded=is_worded,
        passages=kept if mode != "none" else [],
        input_ids=opening + stuffed + question,
        is_prompt=[True] * len(opening) + [False] * len(stuffed) + [True] * len(question),
        knowledge=encoded,
        knowledge_tokens=read,
        truncated_tokens=max(0, cut),
        dropped_passages=dropped if mode != "none" else 0,
        num_edits=min(num_edits, len(kept)) if mode != "none" else 0,
    )


def _read_prompt(
    prompt: str,
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
    start: list[int],
    is_worded: bool,
) -> tuple[list[int], list[int]]:
    """What the prompt begins with, and the rest: stuffed passages go between them."""
    if not is_worded:
        return start, wording.tokenize_prompts(tokenizer, [prompt])[0]
    whole = tokenize_worded(tokenizer, prompt)
    count = len(start) if whole[: len(start)] == start else 0
    return whole[:count], whole[count:]


def _tokenize(
    texts: Sequence[str],
    known: Sequence[Sequence[int] | None],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
) -> list[list[int]]:
    """Token ids of whole passages, as worded; one as long as may be read might have been cut."""
    first, most = len(start_tokens(tokenizer)), config.max_passage_tokens
    rows = [None if ids is None or len(ids) >= most else list(ids[first:]) for ids in known]
    missing = [text for text, row in zip(texts, rows, strict=True) if row is None]
    wording = Wording(**(config.wording or {}))
    read = iter(wording.tokenize_passages(tokenizer, missing))
    return [next(read) if row is None else row for row in rows]


def cut_passages(
    texts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
    whole: Sequence[list[int]] | None = None,
) -> list[list[int]]:
    """Token ids of the passages that encoders read, as worded and cut where they are too long.

    Whoever has them tokenized ``whole`` already hands that in: none is then read twice.
    """
    wording, kept = Wording(**(config.wording or {})), texts[: config.max_passages]
    limit = config.max_passage_tokens - len(start_tokens(tokenizer))
    rows = list(wording.tokenize_passages(tokenizer, kept) if whole is None else whole)
    long = [number for number, row in enumerate(rows) if len(row) > limit]
    cut = wording.tokenize_passages(tokenizer, [kept[number] for number in long], limit)
    for number, row in zip(long, cut, strict=True):
        rows[number] = row[:limit]
    return rows


def encoder_texts(
    passages: Sequence[list[int]], start: list[int], config: DiekaeConfig
) -> list[list[int]]:
    """What encoders read one by one: each passage from its start, or all of them as one text."""
    if config.passage_attention == "joint" and passages:
        return [start + [token for passage in passages for token in passage]]
    return [start + passage for passage in passages]


def _fit(passages: Sequence[list[int]], room: int) -> tuple[list[int], int]:
    """Passages one after the other up to ``room`` tokens, and how many are in there."""
    tokens: list[int] = []
    for count, passage in enumerate(passages):
        if len(tokens) >= room:
            return tokens, count
        tokens += passage[: room - len(tokens)]
    return tokens, len(passages)


def pad_left(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids ``[B, T]`` and the ``[B, T]`` bool mask of what is real.

    Example:
        >>> pad_left([[5], [6, 7]])[1].tolist()
        [[False, True], [True, True]]
    """
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[False] * (longest - len(row)) + [True] * len(row) for row in rows])
    return ids, mask

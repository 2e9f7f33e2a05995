"""Examples as tensors.

Axes: B episodes, T positions of a row, S passages of all episodes, P passages of one episode,
K positions of a passage.

One row holds all the questions about the same passages, and before them, where the base model is to
read them, the passages. Each question sees the passages and itself, and its positions start where
the passages end: what it reads is just what it would read alone, at a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.prompting import Wording, start_tokens
from diekae_rag.requests import cut_passages, encoder_texts

__all__ = [
    "ANSWER",
    "PASSAGE",
    "QUESTION",
    "START",
    "Episode",
    "InjectedBatch",
    "PackedBatch",
    "Sizes",
    "pack_for_injection",
    "pack_stuffed",
]

PASSAGE, QUESTION, ANSWER, START = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Episode:
    """Passages, and questions about them with their right answers."""

    passages: Sequence[str]
    questions: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Fixed sizes of a batch: rows of one length throughout spare a compiler its work.

    Args:
        num_passages: S, filled up with blank ones.
        max_passages: P.
        passage_length: K.
        length: T.
    """

    num_passages: int
    max_passages: int
    passage_length: int
    length: int


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """What the base model reads in one step.

    Args:
        input_ids: ``[B, T]``.
        position_ids: ``[B, T]``.
        attention_mask: ``[B, 1, T, T]`` bool, true where a position may look.
        roles: ``[B, T]``; what each token is: 0 padding, 1 passage, 2 question, 3 answer,
            4 beginning of sequence before a question.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    roles: Tensor

    @property
    def length(self) -> int:
        """T: the longest row."""
        return self.input_ids.shape[1]

    @property
    def num_tokens(self) -> int:
        """Real tokens."""
        return int((self.roles != 0).sum())

    def last(self, count: int) -> Self:
        """The last rows alone, ``[count, T]``."""
        first = len(self.input_ids) - count
        tensors = (self.input_ids, self.position_ids, self.attention_mask, self.roles)
        return type(self)(*(tensor[first:] for tensor in tensors))

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        tensors = (self.input_ids, self.position_ids, self.attention_mask, self.roles)
        return type(self)(*(tensor.to(device) for tensor in tensors))


@dataclass(frozen=True, slots=True)
class InjectedBatch:
    """The same questions, with the passages kept apart for the encoders.

    Args:
        passage_ids: ``[S, K]``: what encoders read, each from its start, and blank ones.
        passage_mask: ``[S, K]`` bool, true at real tokens.
        rows: ``[B, P]`` long; which of them each episode reads, -1 where it has fewer.
        starts: ``[B]`` long; the encoder's position of each question's first token.
        questions: What the base model reads: rows of questions that see only themselves.
    """

    passage_ids: Tensor
    passage_mask: Tensor
    rows: Tensor
    starts: Tensor
    questions: PackedBatch

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return type(self)(
            self.passage_ids.to(device),
            self.passage_mask.to(device),
            self.rows.to(device),
            self.starts.to(device),
            self.questions.to(device),
        )


def pack_stuffed(
    episodes: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
    *,
    length: int | None = None,
    window: int | None = None,
) -> PackedBatch:
    """Lays out each episode in one row, its passages first.

    Args:
        episodes: What to lay out.
        tokenizer: The base model's.
        config: Wording, and the limits beyond which passages are cut.
        length: T; the longest row decides when not given.
        window: Positions of the base model; passages are cut where they and the longest question
            take more.

    Raises:
        ValueError: A row is longer than ``length``.
    """
    wording, start = Wording(**(config.wording or {})), start_tokens(tokenizer)
    rows = []
    for episode in episodes:
        passages = cut_passages(_readable(episode), tokenizer, config)
        knowledge = start + [token for passage in passages for token in passage]
        row = _row(knowledge, [], episode, tokenizer, wording)
        if window is not None and (excess := 1 + max(row[1]) - window) > 0:
            row = _row(knowledge[:-excess], [], episode, tokenizer, wording)
        rows.append(row)
    return _pad(rows, length)


def pack_for_injection(
    episodes: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
    sizes: Sizes | None = None,
) -> InjectedBatch:
    """Lays out episodes with the passages apart; answers come in the order of ``pack_stuffed``.

    Args:
        episodes: What to lay out.
        tokenizer: The base model's.
        config: Wording, limits, and whether passages are read jointly.
        sizes: Fixed sizes; as large as needed when not given.

    Raises:
        ValueError: Something does not fit ``sizes``.
    """
    wording, start = Wording(**(config.wording or {})), start_tokens(tokenizer)
    texts: list[list[int]] = []
    numbers: list[list[int]] = []
    starts: list[int] = []
    rows = []
    for episode in episodes:
        read = encoder_texts(cut_passages(_readable(episode), tokenizer, config), start, config)
        numbers.append(list(range(len(texts), len(texts) + len(read))))
        texts += read
        is_joint = config.passage_attention == "joint"
        starts.append(sum(map(len, read)) if is_joint else config.max_passage_tokens)
        rows.append(_row([], start, episode, tokenizer, wording))
    longest, most = max(map(len, texts), default=1), max(1, *map(len, numbers))
    sizes = sizes or Sizes(max(1, len(texts)), most, longest, max(len(row[0]) for row in rows))
    if (
        len(texts) > sizes.num_passages
        or longest > sizes.passage_length
        or most > sizes.max_passages
    ):
        raise ValueError(
            f"{len(texts)} passages of up to {longest} tokens do not fit {sizes.num_passages} of "
            f"{sizes.passage_length}, {sizes.max_passages} an episode."
        )
    texts += [[]] * (sizes.num_passages - len(texts))
    ids = torch.tensor([text + [0] * (sizes.passage_length - len(text)) for text in texts])
    lengths = torch.tensor([len(text) for text in texts])
    return InjectedBatch(
        ids.long(),
        torch.arange(sizes.passage_length)[None, :] < lengths[:, None],
        torch.tensor([row + [-1] * (sizes.max_passages - len(row)) for row in numbers]),
        torch.tensor(starts),
        _pad(rows, sizes.length),
    )


_Row = tuple[list[int], list[int], list[int], list[int]]


def _readable(episode: Episode) -> list[str]:
    return [text for text in episode.passages if text.strip()]


def _row(
    knowledge: list[int],
    start: list[int],
    episode: Episode,
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
) -> _Row:
    """Tokens, positions, roles and segments of one episode's row."""
    tokens, positions = list(knowledge), list(range(len(knowledge)))
    roles, segments = [PASSAGE] * len(knowledge), [0] * len(knowledge)
    prompts = wording.tokenize_prompts(tokenizer, [q for q, _ in episode.questions])
    answers = wording.tokenize_answers(tokenizer, [a for _, a in episode.questions])
    for segment, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), start=1):
        size = len(start) + len(prompt) + len(answer)
        tokens += start + prompt + answer
        positions += range(len(knowledge), len(knowledge) + size)
        roles += [START] * len(start) + [QUESTION] * len(prompt) + [ANSWER] * len(answer)
        segments += [segment] * size
    return tokens, positions, roles, segments


def _pad(rows: Sequence[_Row], length: int | None) -> PackedBatch:
    longest = max(len(row[0]) for row in rows)
    if length is not None and longest > length:
        raise ValueError(f"an episode takes {longest} tokens, rows have {length}.")
    longest = length or longest
    padded = torch.tensor([[c + [0] * (longest - len(c)) for c in row] for row in rows])
    input_ids, position_ids, roles, segments = padded.unbind(1)
    same = segments[:, :, None] == segments[:, None, :]
    visible = (same | (segments == 0)[:, None, :]) & (roles != 0)[:, None, :]
    visible &= torch.ones(longest, longest, dtype=torch.bool).tril()
    visible |= torch.eye(longest, dtype=torch.bool)  # padding looks at itself: no empty softmax
    return PackedBatch(input_ids, position_ids, visible[:, None], roles)

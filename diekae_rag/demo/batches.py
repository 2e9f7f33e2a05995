"""Episodes as tensors for the reader.        Axes: B episodes, T positions.

One row holds an episode's passages and then all its questions. Each question sees the passages and
itself, and its positions start where the passages end: what it reads is just what it would read
alone, at a fraction of the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.demo.episodes import Episode
from diekae_rag.prompting import Wording

__all__ = ["InjectedBatch", "PackedBatch", "pack_episodes", "pack_for_injection"]

PASSAGE, QUESTION, ANSWER = 1, 2, 3


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One training step's rows.

    Args:
        input_ids: ``[B, T]``.
        position_ids: ``[B, T]``.
        attention_mask: ``[B, 1, T, T]`` bool, true where a position may look.
        roles: ``[B, T]``; what each token is: 0 padding, 1 passage, 2 question, 3 answer.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    roles: Tensor

    @property
    def length(self) -> int:
        """T: the longest row."""
        return self.input_ids.shape[1]


@dataclass(frozen=True, slots=True)
class InjectedBatch:
    """The same questions, with the passages kept apart for the encoders.

    Args:
        passage_ids: ``[S, K]``: all episodes' passages, each from its start, and blank ones.
        passage_mask: ``[S, K]`` bool, true at real tokens.
        rows: ``[B, P]`` long; which passages each episode reads, -1 where it has fewer.
        questions: What the base model reads: rows of questions that see only themselves.
    """

    passage_ids: Tensor
    passage_mask: Tensor
    rows: Tensor
    questions: PackedBatch


def pack_episodes(
    episodes: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
    *,
    length: int | None = None,
) -> PackedBatch:
    """Tokenizes episodes and lays each out in one row, its passages first.

    Args:
        episodes: What to lay out.
        tokenizer: The reader's.
        wording: The templates.
        length: How long the rows are made; the longest decides when not given. Rows of one length
            throughout spare the compiler its work.

    Raises:
        ValueError: A row is longer than ``length``.
    """
    start = [tokenizer.bos_token_id]
    rows = []
    for episode in episodes:
        knowledge = list(start)
        for passage in wording.tokenize_passages(tokenizer, episode.passages):
            knowledge += passage
        rows.append(_row(knowledge, [], episode, tokenizer, wording))
    return _pad(rows, length)


def pack_for_injection(
    episodes: Sequence[Episode],
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
    *,
    num_passages: int,
    max_passages: int,
    passage_length: int,
    length: int,
) -> InjectedBatch:
    """Tokenizes episodes with the passages apart; answers come in the order of ``pack_episodes``.

    Args:
        episodes: What to lay out.
        tokenizer: The reader's.
        wording: The templates.
        num_passages: S, passages of all episodes together, filled up with blank ones.
        max_passages: P, most passages of one episode.
        passage_length: K, longest passage.
        length: T, longest row of questions.

    Raises:
        ValueError: Something does not fit.
    """
    start = [tokenizer.bos_token_id]
    passages: list[list[int]] = []
    rows: list[list[int]] = []
    for episode in episodes:
        texts = wording.tokenize_passages(tokenizer, episode.passages)
        first = len(passages)
        passages += [start + text for text in texts]
        numbers = list(range(first, len(passages)))
        rows.append(numbers + [-1] * (max_passages - len(texts)))
    longest = max(map(len, passages), default=0)
    if len(passages) > num_passages or longest > passage_length or len(rows[0]) > max_passages:
        raise ValueError(
            f"{len(passages)} passages of up to {longest} tokens do not fit "
            f"{num_passages} of {passage_length}, {max_passages} an episode."
        )
    passages += [[]] * (num_passages - len(passages))
    ids = torch.tensor([text + [0] * (passage_length - len(text)) for text in passages])
    lengths = torch.tensor([len(text) for text in passages])
    mask = torch.arange(passage_length)[None, :] < lengths[:, None]
    questions = _pad([_row([], start, e, tokenizer, wording) for e in episodes], length)
    return InjectedBatch(ids, mask, torch.tensor(rows), questions)


_Row = tuple[list[int], list[int], list[int], list[int]]


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
        question = start + prompt
        size = len(question) + len(answer)
        tokens += question + answer
        positions += range(len(knowledge), len(knowledge) + size)
        roles += [QUESTION] * len(question) + [ANSWER] * len(answer)
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

"""Many prompts through one arm at once: log-likelihoods of given answers, and hidden states.

Axes: D width. Padding changes nothing: a record is scored as ``DiekaeModel.score`` would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from diekae_rag.data.records import Record
from diekae_rag.evaluation.arms import Arm
from diekae_rag.passages import as_passages
from diekae_rag.requests import Request
from diekae_rag.scoring import laid_out, score_rows

__all__ = ["AnswerScore", "batches_by_length", "prompt_features", "score_answers"]

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """How likely one answer is.

    Args:
        log_likelihood: In nats, the end of sequence included.
        num_tokens: Over how many tokens, that one included.
    """

    log_likelihood: float
    num_tokens: int


def score_answers(
    arm: Arm,
    records: Sequence[Record],
    *,
    batch_size: int = 32,
    advance: Advance = lambda done: None,
) -> list[AnswerScore]:
    """Log-likelihood of each record's ``answer``, read the arm's way.

    Args:
        arm: Who scores.
        records: What is asked and answered.
        batch_size: Records side by side.
        advance: Called with the size of each batch once it is done.
    """
    model = arm.model
    answers = model.wording.tokenize_answers(model.tokenizer, [r.answer for r in records])
    scores: dict[int, AnswerScore] = {}
    for batch in batches_by_length(records, batch_size):
        texts = [answers[i] for i in batch]
        requests = [_prepared(arm, records[i], len(answers[i])) for i in batch]
        totals = score_rows(model, requests, texts, arm.mode)
        scores |= {i: AnswerScore(t, len(answers[i])) for i, t in zip(batch, totals, strict=True)}
        advance(len(batch))
    return [scores[i] for i in range(len(records))]


@torch.no_grad()
def prompt_features(
    arm: Arm,
    records: Sequence[Record],
    *,
    batch_size: int = 32,
    advance: Advance = lambda done: None,
) -> Tensor:
    """What the base model's final norm gives at each prompt's last token, read the arm's way.

    Args:
        arm: Who reads.
        records: Prompts and passages; answers are not looked at.
        batch_size: Records side by side.
        advance: Called with the size of each batch once it is done.

    Returns:
        ``[len(records), D]`` float32, on the CPU.
    """
    decoder = cast(nn.Module, arm.model.base.get_decoder())
    rows: dict[int, Tensor] = {}
    for batch in batches_by_length(records, batch_size):
        requests = [_prepared(arm, records[i], 0) for i in batch]
        with laid_out(arm.model, requests, [[] for _ in batch], arm.mode) as inputs:
            last = decoder(**inputs).last_hidden_state[:, -1].float().cpu()
        rows |= dict(zip(batch, last, strict=True))
        advance(len(batch))
    return torch.stack([rows[i] for i in range(len(records))])


def batches_by_length(records: Sequence[Record], batch_size: int) -> list[list[int]]:
    """Positions of records that are about as long, and so pad each other little.

    Example:
        >>> batches_by_length([Record("long?", ""), Record("a?", ""), Record("b?", "")], 2)
        [[1, 2], [0]]
    """
    order = sorted(range(len(records)), key=lambda i: _length(records[i]))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def _length(record: Record) -> int:
    return sum(map(len, record.passages)) + len(record.prompt)


def _prepared(arm: Arm, record: Record, answer_length: int) -> Request:
    passages, room = as_passages(record.passages), max(1, answer_length)
    return arm.model.prepare(record.prompt, passages, arm.mode, room, warns=False)

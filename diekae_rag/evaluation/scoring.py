"""Many prompts through one arm at once: log-likelihoods of given answers, and hidden states.

Axes: B rows, L positions of the padded prompts, C of the padded answers, D width, V vocabulary.

Rows are padded on the left up to the prompt's end and on the right after it, so that every answer
begins in the same slot. Padding changes nothing: a row is scored as ``DiekaeModel.score`` would.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from diekae_rag.data.records import Record
from diekae_rag.evaluation.arms import Arm
from diekae_rag.generation import GenerationOptions
from diekae_rag.passages import as_passages
from diekae_rag.requests import pad_left

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


@torch.no_grad()
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
        longest = max(map(len, texts))
        with _laid_out(arm, [records[i] for i in batch], texts) as inputs:
            base: Any = model.base
            logits = base(**inputs, logits_to_keep=longest + 1).logits[:, :-1].float()
        targets = inputs["input_ids"][:, -longest:]
        real = inputs["attention_mask"][:, -longest:].bool()
        chosen = logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)
        totals = torch.where(real, chosen, 0.0).double().sum(1).tolist()
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
        with _laid_out(arm, [records[i] for i in batch], [[] for _ in batch]) as inputs:
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


@contextmanager
def _laid_out(
    arm: Arm, records: Sequence[Record], answers: Sequence[list[int]]
) -> Iterator[dict[str, Any]]:
    """What to call the base model with, ``[B, L + C]`` each, while the arm's injection is open."""
    model = arm.model
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the passages were truncated")
        requests = [
            model._prepare(
                record.prompt,
                as_passages(record.passages),
                arm.mode,
                GenerationOptions(max_new_tokens=max(1, len(answer))),
            )
            for record, answer in zip(records, answers, strict=True)
        ]
    ids, mask = pad_left([request.input_ids for request in requests])
    read, _ = pad_left([request.is_prompt for request in requests])
    longest = max(map(len, answers))
    padding = [longest - len(answer) for answer in answers]
    after = [[*a, *[0] * n] for a, n in zip(answers, padding, strict=True)]
    is_real = [[True] * len(a) + [False] * n for a, n in zip(answers, padding, strict=True)]
    shape = (len(requests), longest)
    ids = torch.cat([ids, torch.tensor(after, dtype=torch.long).view(shape)], 1)
    mask = torch.cat([mask, torch.tensor(is_real, dtype=torch.bool).view(shape)], 1)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0)
    with model._lock, model._injecting(requests, read.bool(), arm.mode):
        yield {
            "input_ids": ids.to(model.device),
            "attention_mask": mask.long().to(model.device),
            "position_ids": positions.to(model.device),
            "use_cache": False,
        }

"""Given answers in one pass of the base model: how likely each is, after its own prompt.

Axes: B rows, L positions of the padded prompts, C of the padded answers, V vocabulary.

Rows are padded on the left up to the prompt's end and on the right after it, so that every answer
begins in the same slot. Padding changes nothing: a row is read as it would be alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from diekae_rag.answers import Mode
from diekae_rag.requests import Request, pad_left

if TYPE_CHECKING:
    from diekae_rag.injected import InjectedModel

__all__ = ["laid_out", "score_rows"]


@contextmanager
def laid_out(
    model: InjectedModel, requests: Sequence[Request], answers: Sequence[list[int]], mode: Mode
) -> Iterator[dict[str, Any]]:
    """What to call the base model with, while it is held and what the mode injects is open.

    Args:
        model: Whose base model reads.
        requests: A prompt with its passages for each row, as ``DiekaeModel.prepare`` gave it.
        answers: Token ids that follow each prompt; may be empty.
        mode: That of ``requests``.

    Yields:
        ``input_ids``, ``attention_mask`` and ``position_ids``, ``[B, L + C]`` each, and that
        nothing be cached.
    """
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
    with model.injecting(requests, read.bool(), mode):
        yield {
            "input_ids": ids.to(model.device),
            "attention_mask": mask.long().to(model.device),
            "position_ids": positions.to(model.device),
            "use_cache": False,
        }


@torch.no_grad()
def score_rows(
    model: InjectedModel, requests: Sequence[Request], answers: Sequence[list[int]], mode: Mode
) -> list[float]:
    """Log-likelihood of each row's answer, in nats; of no tokens it is 0.

    Args:
        model: Who scores.
        requests: A prompt with its passages for each row, as ``DiekaeModel.prepare`` gave it.
        answers: Each row's tokens; an end of sequence counts only where it is among them.
        mode: That of ``requests``.
    """
    longest = max(map(len, answers), default=0)
    if not longest:
        return [0.0] * len(answers)
    base: Any = model.base
    with laid_out(model, requests, answers, mode) as inputs:
        logits = base(**inputs, logits_to_keep=longest + 1).logits[:, :-1].float()
    targets = inputs["input_ids"][:, -longest:].to(logits.device)
    real = inputs["attention_mask"][:, -longest:].to(logits.device).bool()
    chosen = logits.gather(-1, targets[..., None])[..., 0] - logits.logsumexp(-1)
    totals: list[float] = torch.where(real, chosen, 0.0).double().sum(1).tolist()
    return totals

"""The base model's own ``generate``, as one would call it by hand, and its time.

Axes: B rows, T positions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from diekae_rag.bench.answering.workload import Asked

__all__ = ["Timed", "generate_by_hand", "wait_for"]


@dataclass(frozen=True, slots=True)
class Timed:
    """One run of an arm.

    Args:
        first_seconds: Until every row had its first token; all of it where none is generated.
        seconds: Until every row had its last.
        new_tokens: Of each row.
        answers: Each row's text.
    """

    first_seconds: float
    seconds: float
    new_tokens: list[int]
    answers: list[str]


class _FirstToken(StoppingCriteria):
    """Notes when the first token is there, and ends nothing."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if not self.at:
            wait_for(input_ids.device)
            self.at = time.perf_counter()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


@torch.no_grad()
def generate_by_hand(asked: Asked, ids: Tensor, mask: Tensor, began: float, **more: Any) -> Timed:
    """Greedy, from ids to texts.

    Args:
        asked: Whose base model answers, the one without hooks.
        ids: ``[B, T]``, padded on the left.
        mask: ``[B, T]`` bool, true at real tokens.
        began: When the answer was asked for, by ``time.perf_counter``.
        **more: Given to ``generate``.
    """
    first, device, tokenizer = _FirstToken(), asked.model.device, asked.model.tokenizer
    generate: Any = asked.bare.generate
    output = generate(
        input_ids=ids.to(device),
        attention_mask=mask.long().to(device),
        max_new_tokens=asked.setting.new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id or 0,
        stopping_criteria=StoppingCriteriaList([first]),
        disable_compile=True,
        **more,
    )
    rows = output[:, ids.shape[1] :].tolist()
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    seconds = time.perf_counter() - began
    return Timed(first.at - began, seconds, [len(row) for row in rows], list(texts))


def wait_for(device: torch.device) -> None:
    """Lets an accelerator finish, so that times are those of the work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

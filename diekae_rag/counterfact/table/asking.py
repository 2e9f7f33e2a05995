"""Many questions to an edited model: answers, likelihoods, logits and forced text.

Edits that a prompt means are read as in any call: ``choose`` decides for each prompt.

Axes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diekae_rag.answers import Mode
from diekae_rag.choosing import choose
from diekae_rag.counterfact.table.metrics import Reply
from diekae_rag.counterfact.table.questions import Question
from diekae_rag.data.sets import EditRecord
from diekae_rag.model import DiekaeModel
from diekae_rag.passages import as_passages
from diekae_rag.requests import Request, pad_left
from diekae_rag.scoring import laid_out, score_rows

__all__ = ["Edited", "ask", "forced_texts", "next_logits"]

_ROWS = 64
_NEW_TOKENS = 12


@dataclass(frozen=True, slots=True)
class Edited:
    """A model after edits, and how it is asked.

    Args:
        model: Who answers.
        seconds: What editing took.
        tell: The passages that a prompt about an edit, or its neighbour, gets.
        mode: Which way those go.
    """

    model: DiekaeModel
    seconds: float = 0.0
    tell: Callable[[EditRecord], list[str]] = lambda edit: []
    mode: Mode = "none"


@torch.no_grad()
def ask(edited: Edited, questions: Sequence[Question]) -> list[Reply]:
    """Answers every question greedily, and scores both of its targets.

    The questions run side by side, which changes nothing.
    """
    prompts = [question.prompt for question in questions]
    told = [edited.tell(question.edit) for question in questions]
    options: dict[str, Any] = {"max_new_tokens": _NEW_TOKENS, "batch_size": _ROWS}
    answers = edited.model.generate(prompts, told, edited.mode, **options)
    wanted = _scores(edited, prompts, told, [question.wanted for question in questions])
    other = _scores(edited, prompts, told, [question.other for question in questions])
    return [Reply(a.text, w, o) for a, w, o in zip(answers, wanted, other, strict=True)]


def _scores(
    edited: Edited, prompts: Sequence[str], told: Sequence[list[str]], targets: Sequence[str]
) -> list[float]:
    model = edited.model
    tokens = model.wording.tokenize_answers(model.tokenizer, list(targets))
    scores: dict[int, float] = {}
    for mode, numbers, requests in _batches(edited, prompts, told):
        totals = score_rows(model, requests, [tokens[number] for number in numbers], mode)
        scores |= dict(zip(numbers, totals, strict=True))
    return [scores[number] for number in range(len(prompts))]


def _batches(
    edited: Edited, prompts: Sequence[str], told: Sequence[list[str]]
) -> list[tuple[Mode, list[int], list[Request]]]:
    """Prompts that go the same way and are about as long, by their numbers."""
    rows = [_read(edited, *both) for both in zip(prompts, told, strict=True)]
    batches = []
    for mode in dict.fromkeys(mode for mode, _ in rows):
        own = [number for number, (way, _) in enumerate(rows) if way == mode]
        own.sort(key=lambda number: len(rows[number][1].input_ids))
        for first in range(0, len(own), _ROWS):
            some = own[first : first + _ROWS]
            batches.append((mode, some, [rows[number][1] for number in some]))
    return batches


def _read(edited: Edited, prompt: str, told: list[str]) -> tuple[Mode, Request]:
    return choose(edited.model, prompt, as_passages(told), edited.mode, _NEW_TOKENS, False)


@torch.no_grad()
def next_logits(edited: Edited, prompt: str, told: list[str]) -> Tensor:
    """The logits after a prompt that is read alone, ``[V]``: alike bit by bit, or not."""
    mode, request = _read(edited, prompt, told)
    base: Any = edited.model.base
    with laid_out(edited.model, [request], [[]], mode) as inputs:
        logits: Tensor = base(**inputs, logits_to_keep=1).logits[0, -1]
    return logits


@torch.no_grad()
def forced_texts(
    edited: Edited, prompts: Sequence[str], told: Sequence[list[str]], num_tokens: int
) -> list[list[int]]:
    """The likeliest tokens after each prompt, one after the other, with no end allowed."""
    model = edited.model
    generate: Any = model.base.generate
    pad = model.tokenizer.pad_token_id or 0
    texts: dict[int, list[int]] = {}
    for mode, numbers, requests in _batches(edited, prompts, told):
        ids, mask = pad_left([request.input_ids for request in requests])
        read, _ = pad_left([request.is_prompt for request in requests])
        with model.injecting(requests, read.bool(), mode):
            new = generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.long().to(model.device),
                min_new_tokens=num_tokens,
                max_new_tokens=num_tokens,
                do_sample=False,
                pad_token_id=pad,
                disable_compile=True,
            )
        texts |= dict(zip(numbers, new[:, ids.shape[1] :].tolist(), strict=True))
    return [texts[number] for number in range(len(prompts))]

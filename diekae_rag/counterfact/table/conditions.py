"""What becomes of edits that are removed, saved and loaded, rolled back, or came one by one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diekae_rag.counterfact.table.arms import without_edits
from diekae_rag.counterfact.table.asking import Edited, ask, next_logits
from diekae_rag.counterfact.table.metrics import Reply, figures_of
from diekae_rag.counterfact.table.questions import Question
from diekae_rag.editing import Edits

__all__ = ["AFTER", "share_alike", "share_identical"]


def _half_removed(edited: Edited, questions: Sequence[Question]) -> dict[str, Any]:
    """Every second edit is removed by its id: the others work, and these are as they never were."""
    edits = edited.model.edits
    going = edits.list()[1::2]
    for edit in going:
        edits.remove(edit.id)
    removed = {(edit.subject, edit.prompt) for edit in going}
    gone = [q for q in questions if (q.edit.subject, q.edit.prompt) in removed]
    kept = [q for q in questions if (q.edit.subject, q.edit.prompt) not in removed]
    replies = ask(edited, gone)
    with without_edits(edited.model):
        unedited = ask(edited, gone)
    return {
        "num_removed": len(going),
        "kept": figures_of(kept, ask(edited, kept)),
        "removed": figures_of(gone, replies),
        "removed_as_unedited": share_alike(replies, unedited),
    }


def _loaded(edited: Edited, questions: Sequence[Question]) -> dict[str, Any]:
    """Saved, loaded into a new object, and asked once more."""
    before = ask(edited, questions)
    with tempfile.TemporaryDirectory() as name:
        edited.model.edits.save(Path(name) / "edits")
        loaded = Edits(edited.model.edits.embedder)
        loaded.load(Path(name) / "edits")
    edited.model.edits = loaded
    after = ask(edited, questions)
    return {**figures_of(questions, after), "as_before": share_alike(after, before)}


def _one_by_one(edited: Edited, questions: Sequence[Question]) -> dict[str, Any]:
    """The same edits, each added by a call of its own, and asked once more."""
    before = ask(edited, questions)
    edits = edited.model.edits
    at_once = edits.list()
    edits.clear()
    began = time.perf_counter()
    for edit in at_once:
        edits.add(edit.subject, edit.prompt, edit.old, edit.new)
    seconds = (time.perf_counter() - began) / max(1, len(at_once))
    after = ask(edited, questions)
    return {
        **figures_of(questions, after),
        "as_before": share_alike(after, before),
        "seconds_each": seconds,
    }


def _rolled_back(edited: Edited, questions: Sequence[Question]) -> dict[str, Any]:
    """Back to the beginning: the logits after every prompt are those without any edit."""
    prompts = [question.prompt for question in questions]
    edited.model.edits.rollback(0)
    back = [next_logits(edited, prompt, []) for prompt in prompts]
    with without_edits(edited.model):
        never = [next_logits(edited, prompt, []) for prompt in prompts]
    return {"bit_identical": share_identical(back, never), "num_prompts": len(prompts)}


Measure = Callable[[Edited, Sequence[Question]], dict[str, Any]]
AFTER: Mapping[str, Measure] = {
    "half_removed": _half_removed,
    "loaded": _loaded,
    "one_by_one": _one_by_one,
    "rolled_back": _rolled_back,
}
"""Name -> what changes the edits of a model and asks it then, given all questions."""


def share_alike(some: Sequence[Reply], others: Sequence[Reply]) -> float:
    """The share of replies that are the same: answer, and both likelihoods but for rounding.

    Rows that run beside other rows are rounded otherwise, so likelihoods may differ by 0.001.
    """
    same = [
        one.text == other.text
        and abs(one.wanted - other.wanted) < 1e-3
        and abs(one.other - other.other) < 1e-3
        for one, other in zip(some, others, strict=True)
    ]
    return sum(same) / max(1, len(same))


def share_identical(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The share of logits that are the same, bit by bit."""
    same = [torch.equal(one, other) for one, other in zip(some, others, strict=True)]
    return sum(same) / max(1, len(same))

"""What a call costs with edits, beside one without, prompt by prompt and in turn."""

from __future__ import annotations

import random
import statistics
import string
import time
from collections.abc import Sequence
from typing import Any

from diekae_rag.bench.answering.setting import AnswerSetting
from diekae_rag.bench.answering.summary import spread
from diekae_rag.bench.answering.workload import build_answerer
from diekae_rag.counterfact.facts import template_of
from diekae_rag.counterfact.table.sets import EditSets
from diekae_rag.data.sets import EditRecord
from diekae_rag.editing import Edits
from diekae_rag.model import DiekaeModel

__all__ = ["PROMPTS", "call_costs", "not_met_before", "shaped_model"]

PROMPTS = {
    "no_subject": "names no edited subject",
    "new_wording": "names one, in words not met before",
    "known_wording": "names one, in words met before",
    "own_prompt": "is an edit's own",
}
"""Kinds of prompts by what a search for edits has to do. ``new_wording`` costs a reading of the
embedder; the wordings of ``known_wording`` were read before; an edit's own prompt has it read."""

_NEW_TOKENS = 8


def call_costs(
    model: DiekaeModel,
    edits: Edits,
    sets: EditSets,
    added: Sequence[EditRecord],
    *,
    rounds: int = 40,
) -> dict[str, Any]:
    """Seconds of calls with edits and without, in turn; which is first changes with every round.

    Args:
        model: Who answers; its ``edits`` are those from before at the end.
        edits: The edits.
        sets: Where unrelated prompts and templates of other relations are.
        added: What was added to ``edits``.
        rounds: Prompts of each kind.

    Returns:
        For each of ``PROMPTS``, ``with`` and ``without``, seconds as medians with their ends, and
        ``ratio``, the median of the ratios prompt by prompt.
    """
    rng = random.Random(0)
    none, before = Edits(edits.embedder), model.edits
    costs: dict[str, Any] = {}
    try:
        for kind, prompts in _prompts(rng, sets, added, rounds).items():
            if kind == "known_wording":
                for prompt in prompts:
                    edits.find(prompt)
            seconds: dict[bool, list[float]] = {True: [], False: []}
            for number, prompt in enumerate(prompts):
                for has_edits in (bool(number % 2), not number % 2):
                    model.edits = edits if has_edits else none
                    taken = _seconds(model, prompt)
                    if number:  # the first was to warm up
                        seconds[has_edits].append(taken)
            pairs = zip(seconds[True], seconds[False], strict=True)
            costs[kind] = {
                "with": spread(seconds[True]),
                "without": spread(seconds[False]),
                "ratio": statistics.median(one / other for one, other in pairs),
            }
    finally:
        model.edits = before
    return costs


def _prompts(
    rng: random.Random, sets: EditSets, added: Sequence[EditRecord], rounds: int
) -> dict[str, list[str]]:
    drawn = [rng.choice(added) for _ in range(rounds + 1)]

    def otherwise(edit: EditRecord, beginning: str) -> str:
        other = rng.choice(sets.others[template_of(edit)] or [template_of(edit)])
        return beginning + other.replace("{}", edit.subject)

    return {
        "no_subject": [rng.choice(sets.unrelated) for _ in drawn],
        "new_wording": [otherwise(edit, not_met_before(n)) for n, edit in enumerate(drawn)],
        "known_wording": [otherwise(edit, "") for edit in drawn],
        "own_prompt": [edit.prompt for edit in drawn],
    }


def not_met_before(number: int) -> str:
    """A beginning for a prompt that makes it another one, and has no figure to tell it by.

    Example:
        >>> not_met_before(1), not_met_before(27)
        ('Case b: ', 'Case bb: ')
    """
    letters = string.ascii_lowercase
    word = ""
    while number or not word:
        number, last = divmod(number, len(letters))
        word = letters[last] + word
    return f"Case {word}: "


def _seconds(model: DiekaeModel, prompt: str) -> float:
    began = time.perf_counter()
    model.generate(prompt, mode="none", max_new_tokens=_NEW_TOKENS)
    return time.perf_counter() - began


def shaped_model(shape: str) -> DiekaeModel:
    """A model of a shape with random weights, as benchmarks build it, that takes any prompt.

    Each word is a token to it, and most are the same one: what a call costs does not depend on it.

    Args:
        shape: A name of ``diekae_rag.bench.setting.SHAPES``.
    """
    return build_answerer(AnswerSetting(shape)).model

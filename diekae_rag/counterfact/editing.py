"""One edit at a time, held out: how often the reader answers it, stuffed and injected."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from diekae_rag.answers import Mode
from diekae_rag.counterfact.facts import Facts, fact_text
from diekae_rag.data.records import Record
from diekae_rag.data.sets import Edit
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.scoring import score_answers
from diekae_rag.model import DiekaeModel

__all__ = ["measure_edits"]

_MODES: tuple[Mode, ...] = ("none", "stuff", "inject")


def measure_edits(
    model: DiekaeModel, facts: Facts, *, num_edits: int = 300, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Shares of held-out edits that work, each the only passage, for each way to read it.

    Of each edit's prompt (``edits``), a paraphrase (``paraphrases``) and a neighbour
    (``neighbours``): how often the greedy answer is the wanted one (``right``: the new target, for
    neighbours the true one), and how often the wanted target is likelier than the other, over the
    whole target and the end after it (``success``).

    Returns:
        For ``none``, ``stuff`` and ``inject``, shares by name.
    """
    edits = random.Random(seed).sample(facts.valid, min(num_edits, len(facts.valid)))
    known = facts.known()
    asked = {
        "edits": [_asked(e, e.prompt, is_edited=True) for e in edits],
        "paraphrases": [_asked(e, q, is_edited=True) for e in edits for q in _first(e)],
        "neighbours": [
            _asked(e, q, is_edited=False)
            for e in edits
            for q in e.neighborhood_prompts[:1]
            if known.get(q) == e.target_true
        ],
    }
    return {
        mode: {
            f"{name} {what}": share
            for name, pairs in asked.items()
            for what, share in _measured(model, mode, pairs).items()
        }
        for mode in _MODES
    }


_Pair = tuple[Record, Record]  # the wanted answer, and the other one


def _asked(edit: Edit, prompt: str, *, is_edited: bool) -> _Pair:
    passages = (fact_text(edit.prompt, edit.target_new),)
    new, true = (Record(prompt, t, passages) for t in (edit.target_new, edit.target_true))
    return (new, true) if is_edited else (true, new)


def _first(edit: Edit) -> Sequence[str]:
    return edit.paraphrase_prompts[:1]


def _measured(model: DiekaeModel, mode: Mode, pairs: Sequence[_Pair]) -> dict[str, float]:
    arm = Arm(mode, model, mode)
    wanted, others = ([pair[place] for pair in pairs] for place in (0, 1))
    scores = [score_answers(arm, records) for records in (wanted, others)]
    likelier = [w.log_likelihood > o.log_likelihood for w, o in zip(*scores, strict=True)]
    right = 0
    options: dict[str, Any] = {"max_new_tokens": 12}
    for first in range(0, len(wanted), 50):
        part = wanted[first : first + 50]
        answers = model.generate(
            [r.prompt for r in part], [r.passages for r in part], mode, **options
        )
        right += sum(a.text.strip() == r.answer for a, r in zip(answers, part, strict=True))
    total = max(1, len(pairs))
    return {"right": right / total, "success": sum(likelier) / total}

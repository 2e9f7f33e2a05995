"""For how many prompts an edit speaks that should, and that should not: no model answers here."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.table import Table

from diekae_rag.counterfact.facts import template_of
from diekae_rag.counterfact.table.calls import not_met_before
from diekae_rag.counterfact.table.questions import Questions
from diekae_rag.counterfact.table.sets import EditSets
from diekae_rag.data.sets import EditRecord
from diekae_rag.editing import Edits
from diekae_rag.index.embedder import Embedder

__all__ = ["matching_table", "measure_matching"]

_NEW_WORDINGS = 100
_WAYS: Mapping[str, float | None] = {"as it comes": None, "calibrated": 0.03, "strict": 0.01}
_FIGURES = (
    "own prompt",
    "paraphrase",
    "another relation of its subject",
    "neighbour that is not edited",
    "unrelated",
    "real question",
)
_TIMES = {
    "seconds to calibrate": "seconds_to_calibrate",
    "seconds to add": "seconds",
    "ms to find, own prompt": "find_ms",
    "ms to find, new wording": "find_ms_new",
}


def measure_matching(
    sets: EditSets,
    embedder: Embedder,
    counts: Sequence[int] = (1000, 10_000),
    *,
    num_asked: int = 1000,
    real: Sequence[str] = (),
    on_step: Callable[[str], object] = lambda step: None,
) -> dict[str, Any]:
    """Shares of prompts for which an edit speaks.

    Asked are the same held-out edits for every number of edits: with their own prompts and
    paraphrases, for which they should speak themselves; with a template of another relation, for
    which they should not; and neighbours and unrelated prompts, for which none should. Unrelated
    prompts name no subject of any edit, and few neighbours do; real questions come as they are.

    Args:
        sets: The edits, and what matching is calibrated on.
        embedder: What compares prompts.
        counts: Numbers of edits.
        num_asked: About how many of them is asked.
        real: Questions that people asked about other things.
        on_step: Told what is about to run.

    Returns:
        For each way to match (as the embedder comes, calibrated, and calibrated with a
        ``false_share`` of 0.01) and number of edits: the shares; ``seconds`` to add the edits, and
        ``seconds_to_calibrate`` before;
        ``find_ms``, the median for own prompts, and ``find_ms_new``, for wordings not met before.
    """
    asked = sets.edits[: min(num_asked, sets.num_held_out)]
    report: dict[str, Any] = {}
    for way, false_share in _WAYS.items():
        edits, seconds, calibrating = Edits(embedder), 0.0, 0.0
        if false_share is not None:
            began = time.perf_counter()
            edits.calibrate(sets.examples, false_share=false_share)
            calibrating = time.perf_counter() - began
        for count in sorted(counts):
            on_step(f"{way}, {count:,} edits")
            more: Any = sets.edits[len(edits) : count]
            began = time.perf_counter()
            edits.add_many(more)
            seconds += time.perf_counter() - began
            shares = _shares(edits, sets, asked[:count], count, real)
            times = {"seconds": seconds, "seconds_to_calibrate": calibrating}
            report.setdefault(way, {})[str(count)] = {**shares, **times}
    return report


def _shares(
    edits: Edits, sets: EditSets, asked: Sequence[EditRecord], count: int, real: Sequence[str]
) -> dict[str, float | int]:
    rng = random.Random(0)
    questions = Questions(sets).about(asked)
    prompts: dict[str, list[tuple[str, EditRecord | None]]] = {
        "own prompt": [(edit.prompt, edit) for edit in asked],
        "paraphrase": [(q.prompt, q.edit) for q in questions if q.kind == "paraphrase"],
        "another relation of its subject": [
            (rng.choice(others).replace("{}", edit.subject), edit)
            for edit in asked
            if (others := sets.others[template_of(edit)])
        ],
        "neighbour that is not edited": [
            (q.prompt, None) for q in questions if q.kind == "neighbourhood"
        ],
        "unrelated": [(prompt, None) for prompt in sets.unrelated],
        "real question": [(prompt, None) for prompt in real],
    }
    shares = {name: _share(edits, prompts[name]) for name in _FIGURES if prompts[name]}
    new = [not_met_before(count + n) + e.prompt for n, e in enumerate(asked[:_NEW_WORDINGS])]
    times = {
        "find_ms": _milliseconds(edits, [edit.prompt for edit in asked]),
        "find_ms_new": _milliseconds(edits, new),
    }
    return {**shares, **times, "num_asked": len(asked)}


def _share(edits: Edits, prompts: Sequence[tuple[str, EditRecord | None]]) -> float:
    """For which an edit speaks: the one named, or where none is, any."""
    found = [
        any(edit is None or match.edit.prompt == edit.prompt for match in edits.find(prompt))
        for prompt, edit in prompts
    ]
    return sum(found) / max(1, len(found))


def _milliseconds(edits: Edits, prompts: Sequence[str]) -> float:
    taken = []
    for prompt in prompts:
        began = time.perf_counter()
        edits.find(prompt)
        taken.append(time.perf_counter() - began)
    return 1e3 * statistics.median(taken)


def matching_table(report: Mapping[str, Any]) -> Table:
    """Lays out what ``measure_matching`` returned: a column for each way and number of edits."""
    table = Table(title="Per cent of prompts for which an edit speaks")
    columns = [
        (f"{way}, {int(count):,}", own)
        for way, counts in report.items()
        for count, own in counts.items()
    ]
    table.add_column("prompts", style="bold")
    for heading, _ in columns:
        table.add_column(heading, justify="right")
    for name in _FIGURES:
        if all(name in shares for _, shares in columns):
            table.add_row(name, *(f"{100 * shares[name]:.1f}" for _, shares in columns))
    table.add_section()
    for text, name in _TIMES.items():
        table.add_row(text, *(f"{shares[name]:.2f}" for _, shares in columns))
    return table

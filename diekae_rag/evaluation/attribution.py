"""Does attribution point at the passage that holds the fact, and what does it cost?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from diekae_rag.demo.worlds import World
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.cases import Case, find_cases, index_world, recall
from diekae_rag.evaluation.metrics import Share
from diekae_rag.evaluation.outcomes import MAX_NEW_TOKENS, Outcome, answer_cases
from diekae_rag.evaluation.tables import percent
from diekae_rag.index import Embedder
from diekae_rag.progress import progress_bars

__all__ = ["attribution_table", "evaluate_attribution", "summarise_attribution"]

_HEADINGS = ("right", "highest (95 %)", "its share", "plain", "attributed", "more tokens")


def evaluate_attribution(
    arms: Sequence[Arm],
    *,
    seed: int,
    num_questions: int = 1000,
    k: int = 3,
    num_documents: int = 2000,
    num_timed: int = 40,
    embedder: Embedder | str = "minilm",
    show_progress: bool = True,
) -> dict[str, Any]:
    """Asks every arm the same questions about one world, and what each passage contributed.

    Args:
        arms: Who answers; not one that reads no passages.
        seed: Of the world. Training uses no test world, whatever its seed.
        num_questions: How many questions; a fifth of them has no answer and counts for nothing.
        k: Passages per question, found by a real index.
        num_documents: Size of the world.
        num_timed: How many questions to measure time on, one by one.
        embedder: What finds the passages.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``arms`` (name -> ``summarise_attribution``, ``seconds`` and
        ``seconds_with_attribution``, medians of one question at a time), ``recall_at_k``, ``seed``,
        ``num_questions``, ``num_documents``, ``k``, ``seconds``.

    Raises:
        ValueError: No arms, one that reads no passages, or a number that makes no sense.
    """
    began = time.perf_counter()
    if not arms:
        raise ValueError("there is no arm to evaluate; name at least one.")
    sizes = {"num_questions": num_questions, "k": k, "num_timed": num_timed}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if blind := [arm.name for arm in arms if arm.mode == "none"]:
        raise ValueError(f"the arm {blind[0]} reads no passages: none can have contributed.")
    world = World(seed, num_documents)
    index = index_world(world, embedder, show_progress=show_progress)
    cases = find_cases(index, world.questions(num_questions), k)
    summaries = {}
    with progress_bars(show_progress) as progress:
        for arm in arms:
            task = progress.add_task(arm.name, total=len(cases))

            def advance(done: int, task: Any = task) -> None:
                progress.advance(task, done)

            outcomes = answer_cases(arm, cases, advance, attribute=True)
            summaries[arm.name] = summarise_attribution(outcomes) | _measure(arm, cases[:num_timed])
    return {
        "arms": summaries,
        "recall_at_k": recall(cases).value,
        "seed": seed,
        "num_questions": num_questions,
        "num_documents": num_documents,
        "k": k,
        "seconds": time.perf_counter() - began,
    }


def summarise_attribution(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How often the passage that holds the fact has the highest value, as JSON values.

    Args:
        outcomes: Answers with their attribution.

    Returns:
        Of the ``n_right`` right answers to answerable questions, ``highest``: the share in which
        the passage that holds the fact was found and has a higher value than any other, with
        Wilson's 95 % ``highest_interval``; ``share``: the median of its normalised values, where it
        was found; ``attribution_tokens``: their mean, over all questions.
    """
    right = [o for o in outcomes if o.case.question.is_answerable and o.is_right]
    highest = Share.of(_is_highest(outcome) for outcome in right)
    shares = [found.share for outcome in right for holds, found in _judged(outcome) if holds]
    tokens = [outcome.answer.usage.attribution_tokens for outcome in outcomes]
    return {
        "n_right": len(right),
        "highest": highest.value,
        "highest_interval": highest.interval,
        "share": statistics.median(shares) if shares else None,
        "attribution_tokens": statistics.fmean(tokens) if tokens else None,
    }


def attribution_table(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``evaluate_attribution`` returned, for people."""
    title = f"World {report['seed']}, {report['num_questions']:,} questions, k = {report['k']}"
    table = Table(title=title)
    table.add_column("arm", style="bold")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right")
    for name, arm in report["arms"].items():
        plain, with_it = arm["seconds"], arm["seconds_with_attribution"]
        table.add_row(
            name,
            str(arm["n_right"]),
            percent(arm["highest"], arm["highest_interval"]),
            percent(arm["share"]),
            f"{plain * 1000:.1f} ms",
            f"{with_it * 1000:.1f} ms",
            f"{arm['attribution_tokens']:.0f}",
        )
    note = (
        "Highest: in how many of the right answers no passage contributed as much as the one that "
        f"holds the fact, which was found for {percent(report['recall_at_k'])} of the answerable "
        f"questions. Times are medians of a question. Took {report['seconds']:.0f} s."
    )
    return Group(table, "", Text(note))


def _judged(outcome: Outcome) -> list[tuple[bool, Any]]:
    """Whether each passage holds the fact, and what it contributed."""
    holder = str(outcome.case.question.document)
    found = outcome.answer.attribution or []
    return [(p.id == holder, a) for p, a in zip(outcome.answer.passages, found, strict=True)]


def _is_highest(outcome: Outcome) -> bool:
    judged = _judged(outcome)
    others = [found.nats for holds, found in judged if not holds]
    return any(holds and all(found.nats > other for other in others) for holds, found in judged)


def _measure(arm: Arm, cases: Sequence[Case]) -> dict[str, float]:
    """Seconds of a question without and with attribution, turn by turn so that load is shared."""

    def seconds(case: Case, *, attribute: bool) -> float:
        began = time.perf_counter()
        arm.model.generate(
            case.question.text,
            case.passages,
            arm.mode,
            max_new_tokens=MAX_NEW_TOKENS,
            attribute=attribute,
        )
        return time.perf_counter() - began

    seconds(cases[0], attribute=True)  # nobody pays for a cold start
    pairs = [(seconds(c, attribute=False), seconds(c, attribute=True)) for c in cases]
    plain, with_it = zip(*pairs, strict=True)
    return {
        "seconds": statistics.median(plain),
        "seconds_with_attribution": statistics.median(with_it),
    }

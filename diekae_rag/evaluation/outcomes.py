"""What an arm answered, and what that adds up to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diekae_rag.answers import Answer
from diekae_rag.demo.worlds import REFUSAL
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.cases import Case
from diekae_rag.evaluation.metrics import Share, is_exact_match

__all__ = ["Outcome", "answer_cases", "measure_speed", "summarise", "summarise_costs"]

MAX_NEW_TOKENS = 32
BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case, and one arm's answer to it."""

    case: Case
    answer: Answer

    @property
    def is_right(self) -> bool:
        """True where the answer is the expected one, or the refusal where that is expected."""
        return is_exact_match(self.answer.text, self.case.question.answer)

    @property
    def is_refusal(self) -> bool:
        """True where the answer is the fixed refusal."""
        return is_exact_match(self.answer.text, REFUSAL)


def answer_cases(
    arm: Arm,
    cases: Sequence[Case],
    advance: Callable[[int], object] = lambda done: None,
    *,
    attribute: bool = False,
) -> list[Outcome]:
    """Lets an arm answer by greedy generation, batch by batch.

    Args:
        arm: Who answers.
        cases: What is asked, with the passages found.
        advance: Called with the size of each batch once it is done.
        attribute: Whether to find out what each passage contributed.
    """
    outcomes: list[Outcome] = []
    for start in range(0, len(cases), BATCH_SIZE):
        batch = cases[start : start + BATCH_SIZE]
        if arm.states is not None:
            arm.states.add(passage for case in batch for passage in case.passages)
        answers = arm.model.generate(
            [case.question.text for case in batch],
            [case.passages for case in batch],
            arm.mode,
            max_new_tokens=MAX_NEW_TOKENS,
            batch_size=BATCH_SIZE,
            attribute=attribute,
        )
        outcomes += [Outcome(*pair) for pair in zip(batch, answers, strict=True)]
        advance(len(batch))
    return outcomes


def summarise(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How often the answers are right, as JSON values.

    Shares are 0 to 1, or ``None`` of nothing; beside each is its Wilson 95 % interval.

    Returns:
        ``exact_match`` of the ``n`` answerable questions; ``exact_match_retrieved`` of the
        ``n_retrieved`` whose passage was found, and ``wrong_refusals`` of the same;
        ``refusals_right`` of the ``n_unanswerable``.
    """
    answerable = [o for o in outcomes if o.case.question.is_answerable]
    retrieved = [o for o in answerable if o.case.is_retrieved]
    unanswerable = [o for o in outcomes if not o.case.question.is_answerable]
    shares = {
        "exact_match": Share.of(o.is_right for o in answerable),
        "exact_match_retrieved": Share.of(o.is_right for o in retrieved),
        "refusals_right": Share.of(o.is_refusal for o in unanswerable),
        "wrong_refusals": Share.of(o.is_refusal for o in retrieved),
    }
    summary: dict[str, Any] = {
        "n": len(answerable),
        "n_retrieved": len(retrieved),
        "n_unanswerable": len(unanswerable),
    }
    for name, share in shares.items():
        summary[name] = share.value
        summary[f"{name}_interval"] = share.interval
    return summary


def summarise_costs(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """Mean tokens per question: read by the base model, read by the encoders, generated."""

    def mean(values: list[int]) -> float | None:
        return statistics.fmean(values) if values else None

    usages = [outcome.answer.usage for outcome in outcomes]
    return {
        "prompt_tokens": mean([usage.prompt_tokens for usage in usages]),
        "knowledge_tokens": mean([usage.knowledge_tokens for usage in usages]),
        "knowledge_tokens_kept_out": mean([usage.knowledge_tokens_kept_out for usage in usages]),
        "new_tokens": mean([usage.new_tokens for usage in usages]),
    }


def measure_speed(arm: Arm, cases: Sequence[Case]) -> float | None:
    """Median seconds to the first token, one question at a time, without retrieval.

    The first question is asked once more beforehand, so that no arm pays for a cold start.
    """
    seconds = [
        arm.model.generate(
            case.question.text, case.passages, arm.mode, max_new_tokens=1
        ).usage.seconds_to_first_token
        for case in [*cases[:1], *cases]
    ][1:]
    return statistics.median(seconds) if seconds else None

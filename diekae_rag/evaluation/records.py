"""An evaluation on a user's own records."""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import Progress

from diekae_rag.answers import Answer
from diekae_rag.data.records import Record
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.comparison import Scores, compare
from diekae_rag.evaluation.costs import measure_costs, training_costs
from diekae_rag.evaluation.scoring import AnswerScore, batches_by_length, score_answers
from diekae_rag.evaluation.squad import best_exact_match, best_f1
from diekae_rag.progress import progress_bars
from diekae_rag.prompting import start_tokens

__all__ = ["answer_records", "evaluate_records", "sample_records"]


@dataclass(frozen=True, slots=True)
class _Results:
    """What one arm answered and how likely it held the right answers, in the records' order."""

    answers: list[Answer]
    scores: list[AnswerScore]


def evaluate_records(
    arms: Sequence[Arm],
    records: Sequence[Record],
    *,
    seed: int = 0,
    num_records: int | None = None,
    max_new_tokens: int = 64,
    batch_size: int = 32,
    num_timed: int = 20,
    num_resamples: int = 1000,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Asks every arm the same records, with the passages that come with each.

    Exact match and F1 are SQuAD's, of greedy answers, against any of ``record.answers``. Loss is on
    the tokens of ``record.answer`` and its end of sequence alone, in nats a token, the same tokens
    for every arm; perplexity is ``exp(loss)``.

    Args:
        arms: Who answers; see ``load_arms``.
        records: What is asked; see ``read_records``.
        seed: Which records are drawn, and of the bootstrap.
        num_records: How many to draw; all when not given, or when there are fewer.
        max_new_tokens: Most tokens of an answer.
        batch_size: Records side by side. It moves no figure but time.
        num_timed: How many records to measure time and memory on; 0 for none.
        num_resamples: Draws of the bootstrap.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``arms`` (name -> ``exact_match``, ``f1``, ``loss``,
        ``perplexity``, each with a 95 % ``..._interval``; tokens; seconds; memory; training),
        ``retention`` (injecting arm -> how much of what stuffing gains it keeps, see ``compare``),
        ``answer_tokens``, ``num_records``, ``num_given``, ``num_timed``, ``max_new_tokens``,
        ``device``, ``memory_measured_by``, ``seed``, ``seconds``.

    Raises:
        ValueError: No arms, two of one name, no records, one that does not fit the base model's
            window, or a number that makes no sense.
    """
    began = time.perf_counter()
    _check(arms, max_new_tokens=max_new_tokens, batch_size=batch_size, num_resamples=num_resamples)
    chosen = sample_records(records, num_records, seed)
    for arm in arms:
        _check_lengths(arm, chosen, max_new_tokens)
    results, costs, timed = {}, {}, chosen[: max(0, num_timed)]
    with progress_bars(show_progress) as progress, warnings.catch_warnings():
        # What was cut is in the report; a line for every record would hide all else.
        warnings.filterwarnings("ignore", message="the passages were truncated")
        for arm in arms:
            results[arm.name] = _ask(arm, chosen, max_new_tokens, batch_size, progress)
        for arm in arms:
            costs[arm.name] = measure_costs(arm, timed, max_new_tokens)
    scores = {name: _score(result, chosen) for name, result in results.items()}
    modes = {arm.name: arm.mode for arm in arms}
    figures, retention = compare(scores, modes, seed=seed, num_resamples=num_resamples)
    measured_by = [cost.pop("memory_measured_by") for cost in costs.values()]
    return {
        "arms": {
            arm.name: figures[arm.name]
            | _usage(results[arm.name].answers)
            | costs[arm.name]
            | training_costs(arm)
            for arm in arms
        },
        "retention": retention,
        "answer_tokens": sum(score.num_tokens for score in results[arms[0].name].scores),
        "num_records": len(chosen),
        "num_given": len(records),
        "num_timed": len(timed),
        "max_new_tokens": max_new_tokens,
        "device": str(arms[0].model.device),
        "memory_measured_by": measured_by[0],
        "seed": seed,
        "seconds": time.perf_counter() - began,
    }


def sample_records(records: Sequence[Record], num_records: int | None, seed: int) -> list[Record]:
    """Draws records without replacement, in random order; all of them where there are fewer.

    Raises:
        ValueError: There are none, or none are wanted.
    """
    if not records:
        raise ValueError("there are no records to evaluate on.")
    if num_records is not None and num_records < 1:
        raise ValueError(f"num_records must be at least 1, got {num_records}.")
    count = len(records) if num_records is None else min(num_records, len(records))
    return random.Random(seed).sample(list(records), count)


def answer_records(
    arm: Arm,
    records: Sequence[Record],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 32,
    advance: Any = lambda done: None,
) -> list[Answer]:
    """Lets an arm answer by greedy generation, records of about one length together.

    Args:
        arm: Who answers.
        records: What is asked.
        max_new_tokens: Most tokens of an answer.
        batch_size: Records side by side.
        advance: Called with the size of each batch once it is done.
    """
    answers: dict[int, Answer] = {}
    for batch in batches_by_length(records, batch_size):
        given = arm.model.generate(
            [records[i].prompt for i in batch],
            [records[i].passages for i in batch],
            arm.mode,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        )
        answers |= dict(zip(batch, given, strict=True))
        advance(len(batch))
    return [answers[i] for i in range(len(records))]


def _ask(
    arm: Arm, records: Sequence[Record], max_new_tokens: int, batch_size: int, progress: Progress
) -> _Results:
    task = progress.add_task(arm.name, total=2 * len(records))

    def advance(done: int) -> None:
        progress.advance(task, done)

    return _Results(
        answer_records(
            arm, records, max_new_tokens=max_new_tokens, batch_size=batch_size, advance=advance
        ),
        score_answers(arm, records, batch_size=batch_size, advance=advance),
    )


def _score(results: _Results, records: Sequence[Record]) -> Scores:
    pairs = [
        (a.text, r.answers or (r.answer,)) for a, r in zip(results.answers, records, strict=True)
    ]
    return Scores(
        np.array([best_exact_match(*pair) for pair in pairs], dtype=np.float64),
        np.array([best_f1(*pair) for pair in pairs]),
        np.array([-score.log_likelihood for score in results.scores]),
        np.array([score.num_tokens for score in results.scores], dtype=np.float64),
    )


def _usage(answers: Sequence[Answer]) -> dict[str, float]:
    """Mean tokens a record: read by the base model, by the encoders, written; and what was cut."""
    means = {
        name: statistics.fmean(getattr(answer.usage, name) for answer in answers)
        for name in ("prompt_tokens", "knowledge_tokens", "knowledge_tokens_kept_out", "new_tokens")
    }
    return means | {"truncated_records": sum(a.usage.truncated_tokens > 0 for a in answers)}


def _check(arms: Sequence[Arm], **at_least_one: int) -> None:
    if not arms:
        raise ValueError("there is no arm to evaluate; name at least one.")
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise ValueError(f"two arms have one name among {', '.join(names)}; rename one.")
    for name, value in at_least_one.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")


def _check_lengths(arm: Arm, records: Sequence[Record], max_new_tokens: int) -> None:
    model = arm.model
    start = len(start_tokens(model.tokenizer))
    prompts = model.wording.tokenize_prompts(model.tokenizer, [r.prompt for r in records])
    answers = model.wording.tokenize_answers(model.tokenizer, [r.answer for r in records])
    for record, prompt, answer in zip(records, prompts, answers, strict=True):
        size = start + len(prompt) + max(len(answer), max_new_tokens)
        if size > model.window:
            raise ValueError(
                f"the record with the prompt {record.prompt[:60]!r} takes {size} tokens with its "
                f"answer ({max_new_tokens} for a generated one), the base model has "
                f"{model.window} positions; shorten it, leave it out, or lower max_new_tokens."
            )

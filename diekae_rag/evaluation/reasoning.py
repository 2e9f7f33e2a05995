"""In-context reasoning: records whose answers are a closed set of labels, such as True and False.

Two readings of what an arm knows: which label it holds likeliest as an answer, and what a linear
head, trained on its frozen hidden states, makes of the one at the prompt's end.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from diekae_rag.data.records import Record
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.head import train_head
from diekae_rag.evaluation.metrics import Share
from diekae_rag.evaluation.records import sample_records
from diekae_rag.evaluation.scoring import prompt_features, score_answers
from diekae_rag.evaluation.squad import normalise_answer
from diekae_rag.progress import progress_bars

__all__ = ["evaluate_reasoning", "labels_of", "likeliest_labels"]


def evaluate_reasoning(
    arms: Sequence[Arm],
    train: Sequence[Record],
    valid: Sequence[Record],
    labels: Sequence[str],
    *,
    seed: int = 0,
    num_train: int | None = None,
    num_valid: int | None = None,
    batch_size: int = 32,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Measures on ``valid`` how often each arm finds the right label.

    Args:
        arms: Who reasons, each reading the passages its own way.
        train: What the heads are trained on; nothing else looks at it.
        valid: What is measured on.
        labels: The answers that there are.
        seed: Which records are drawn where there are more than wanted.
        num_train: How many records of ``train`` to use; all when not given.
        num_valid: The same of ``valid``.
        batch_size: Records side by side.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``arms`` (name -> ``scored`` and ``head``, shares of ``valid`` with
        Wilson's 95 % ``..._interval``, and ``head_on_train``), ``majority`` (what always giving the
        commonest label of ``train`` gets), ``labels``, ``num_train``, ``num_valid``, ``seed``,
        ``seconds``.

    Raises:
        ValueError: No arms, fewer than two labels, two that are alike, an answer that is none of
            them, or training records with one label only.
    """
    began = time.perf_counter()
    if not arms:
        raise ValueError("there is no arm to evaluate; name at least one.")
    learnt = sample_records(train, num_train, seed)
    asked = sample_records(valid, num_valid, seed)
    right_of_learnt, right = labels_of(learnt, labels), labels_of(asked, labels)
    commonest = Counter(right_of_learnt).most_common(1)[0][0]
    summaries = {}
    with progress_bars(show_progress) as progress:
        for arm in arms:
            total = len(learnt) + len(asked) * (1 + len(labels))
            task = progress.add_task(f"{arm.name}, labels", total=total)

            def advance(done: int, task: Any = task) -> None:
                progress.advance(task, done)

            given = likeliest_labels(arm, asked, labels, batch_size=batch_size, advance=advance)
            features, of_asked = (
                prompt_features(arm, records, batch_size=batch_size, advance=advance)
                for records in (learnt, asked)
            )
            head = train_head(features, right_of_learnt)
            scored, by_head = _share(given, right), _share(head(of_asked), right)
            summaries[arm.name] = {
                "scored": scored.value,
                "scored_interval": scored.interval,
                "head": by_head.value,
                "head_interval": by_head.interval,
                "head_on_train": _share(head(features), right_of_learnt).value,
            }
    return {
        "arms": summaries,
        "majority": _share([commonest] * len(right), right).value,
        "labels": list(labels),
        "num_train": len(learnt),
        "num_valid": len(asked),
        "seed": seed,
        "seconds": time.perf_counter() - began,
    }


def likeliest_labels(
    arm: Arm,
    records: Sequence[Record],
    labels: Sequence[str],
    *,
    batch_size: int = 32,
    advance: Callable[[int], object] = lambda done: None,
) -> list[str]:
    """For each record the label with the highest log-likelihood as its answer.

    Args:
        arm: Who scores.
        records: Prompts and passages; answers are not looked at.
        labels: The answers that there are.
        batch_size: Records side by side.
        advance: Called with the size of each batch once it is done.
    """
    scores = [
        score_answers(
            arm,
            [replace(record, answer=label) for record in records],
            batch_size=batch_size,
            advance=advance,
        )
        for label in labels
    ]
    return [
        labels[max(range(len(labels)), key=lambda number: of_record[number].log_likelihood)]
        for of_record in zip(*scores, strict=True)
    ]


def labels_of(records: Sequence[Record], labels: Sequence[str]) -> list[str]:
    """The label that is each record's answer, up to case and punctuation.

    Raises:
        ValueError: Fewer than two labels, two that are alike, or an answer that is none of them.

    Example:
        >>> labels_of([Record("Is it?", "true.")], ["True", "False"])
        ['True']
    """
    known = {normalise_answer(label): label for label in labels}
    if len(known) < 2 or len(known) < len(labels):
        raise ValueError(
            f"labels must be two or more that differ in more than case, got {', '.join(labels)}."
        )
    for record in records:
        if normalise_answer(record.answer) not in known:
            raise ValueError(
                f"the record with the prompt {record.prompt[:60]!r} has the answer "
                f"{record.answer[:30]!r}, which is none of {', '.join(labels)}; add that label, or "
                "leave the record out."
            )
    return [known[normalise_answer(record.answer)] for record in records]


def _share(given: Sequence[str], right: Sequence[str]) -> Share:
    return Share.of(one == other for one, other in zip(given, right, strict=True))

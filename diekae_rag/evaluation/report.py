"""An evaluation on an invented world that nothing was trained on."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.progress import Progress

from diekae_rag.demo.worlds import World
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.cases import Case, find_cases, index_world, recall
from diekae_rag.evaluation.outcomes import (
    Outcome,
    answer_cases,
    measure_speed,
    summarise,
    summarise_costs,
)
from diekae_rag.index import Embedder
from diekae_rag.progress import progress_bars

__all__ = ["NUMBERS_OF_PASSAGES", "evaluate"]

NUMBERS_OF_PASSAGES = (1, 3, 5)
_NUM_TIMED = 20
_LENGTHS = ((1, "1"), (2, "2"), (4, "3-4"), (8, "5-8"))

_Outcomes = dict[str, list[Outcome]]


def evaluate(
    arms: Sequence[Arm],
    *,
    seed: int,
    num_questions: int = 1000,
    k: int = 3,
    num_documents: int = 2000,
    num_split_questions: int = 200,
    embedder: Embedder | str = "minilm",
    show_progress: bool = True,
) -> dict[str, Any]:
    """Asks every arm the same questions about one world; nothing is kept between runs.

    Each question's passages are found by a real index over all documents; every arm answers by
    greedy generation. A fifth of the questions has no answer in the world.

    Args:
        arms: Who answers; see ``load_arms``.
        seed: Of the world. Training uses no test world, whatever its seed.
        num_questions: How many questions.
        k: Passages per question.
        num_documents: Size of the world.
        num_split_questions: Questions for each of the splits that need answers of their own: by
            number of passages, and in wordings kept out of training. 0 leaves these out.
        embedder: What finds the passages.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``arms`` (name -> ``summarise``, tokens, seconds),
        ``by_passages``, ``by_answer_length`` and ``heldout_wordings`` (key -> arm ->
        ``summarise``), ``retrieval``, ``weights``, ``seed``, ``num_questions``, ``num_documents``,
        ``num_split_questions``, ``k``, ``seconds``.

    Raises:
        ValueError: No arms, or a number that makes no sense.
    """
    began = time.perf_counter()
    if not arms:
        raise ValueError("there is no arm to evaluate; name at least one.")
    for name, value in {"num_questions": num_questions, "k": k}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if num_split_questions < 0:
        raise ValueError(f"num_split_questions must be 0 or more, got {num_split_questions}.")
    world = World(seed, num_documents)
    index = index_world(world, embedder, show_progress=show_progress)
    widest = find_cases(index, world.questions(num_questions), max(k, *NUMBERS_OF_PASSAGES))
    cases, few = [case.first(k) for case in widest], widest[:num_split_questions]
    reworded = _reworded(world, len(few), k, index.embedder, show_progress) if few else []
    with progress_bars(show_progress) as progress:

        def ask(what: str, some: Sequence[Case]) -> _Outcomes:
            return {arm.name: _ask(arm, some, what, progress) for arm in arms}

        outcomes = ask("", cases)
        summaries = {name: summarise(some) for name, some in outcomes.items()}
        for arm in arms:
            summaries[arm.name] |= summarise_costs(outcomes[arm.name])
            seconds = measure_speed(arm, cases[:_NUM_TIMED])
            summaries[arm.name]["seconds_to_first_token"] = seconds
        by_passages = {
            str(number): _summaries(ask(f", k={number}", [case.first(number) for case in few]))
            for number in (NUMBERS_OF_PASSAGES if few else ())
        }
        heldout = _summaries(ask(", new wordings", reworded)) if few else {}
    return {
        "arms": summaries,
        "retrieval": {
            "recall_at_k": recall(cases).value,
            "recall_at": {
                str(number): recall([case.first(number) for case in widest]).value
                for number in NUMBERS_OF_PASSAGES
            },
        },
        "by_passages": by_passages,
        "by_answer_length": _by_answer_length(arms[0], outcomes),
        "heldout_wordings": heldout,
        "weights": _weights(arms[0]),
        "seed": seed,
        "num_questions": num_questions,
        "num_split_questions": len(few),
        "num_documents": num_documents,
        "k": k,
        "seconds": time.perf_counter() - began,
    }


def _reworded(
    world: World, num_questions: int, k: int, embedder: Embedder, show_progress: bool
) -> list[Case]:
    """Questions about a world that says everything in wordings kept out of training."""
    other = World(world.seed, len(world.documents), heldout_wordings=True)
    index = index_world(other, embedder, show_progress=show_progress)
    return find_cases(index, other.questions(num_questions), k)


def _ask(arm: Arm, cases: Sequence[Case], what: str, progress: Progress) -> list[Outcome]:
    task = progress.add_task(f"{arm.name}{what}", total=len(cases))
    return answer_cases(arm, cases, lambda done: progress.advance(task, done))


def _summaries(outcomes: _Outcomes) -> dict[str, Any]:
    return {name: summarise(some) for name, some in outcomes.items()}


def _by_answer_length(arm: Arm, outcomes: _Outcomes) -> dict[str, Any]:
    """Groups the answerable questions by the tokens of the right answer."""
    groups: dict[str, _Outcomes] = defaultdict(lambda: defaultdict(list))
    for name, some in outcomes.items():
        for outcome in some:
            if outcome.case.question.is_answerable:
                answer = f" {outcome.case.question.answer}"
                length = len(arm.model.tokenizer(answer, add_special_tokens=False).input_ids)
                label = next((label for most, label in _LENGTHS if length <= most), "9+")
                groups[label][name].append(outcome)
    return {label: _summaries(groups[label]) for label in sorted(groups)}


def _weights(arm: Arm) -> dict[str, Any]:
    """How many numbers were trained, on either side; the encoders as a share of the reader."""
    reader = sum(weight.numel() for weight in arm.model.base.parameters())
    encoders = sum(weight.numel() for weight in arm.model.encoders.parameters())
    return {"reader": reader, "encoders": encoders, "share": encoders / reader}

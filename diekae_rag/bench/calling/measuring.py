"""Whole calls, each way in turn, with a question of its own in every round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diekae_rag.bench.answering.summary import spread
from diekae_rag.bench.answering.worker import model_size
from diekae_rag.bench.answering.workload import TooLongError, build_answerer
from diekae_rag.bench.calling.arms import MODES_OF_ARMS, PARTS, Call, ask
from diekae_rag.bench.calling.library import Library, build_library
from diekae_rag.bench.calling.setting import CALL_ARMS, CallSetting
from diekae_rag.bench.machine import describe_machine
from diekae_rag.bench.stopwatch import Stopwatch
from diekae_rag.bench.timed import TimedEmbedder
from diekae_rag.model import DiekaeModel
from diekae_rag.states.coding import StateDtype
from diekae_rag.states.kept import KeptStates

__all__ = ["measure_calls"]

_KEPT: Mapping[str, StateDtype | None] = {
    "injected, kept states": None,
    "injected, kept in int8": "int8",
}


def measure_calls(
    setting: CallSetting, on_step: Callable[[str], object] = lambda step: None
) -> dict[str, Any]:
    """Asks every question each way, one way after the other; nobody always follows the same one.

    A first question is not counted. What is kept was read before, and of a question's own passages
    is read from its file for the first time.

    Args:
        setting: The workload.
        on_step: Told what is about to run.

    Returns:
        JSON values: ``arms`` (name -> ``seconds`` to the first token and of each of ``parts``, and
        ``ratios`` to the seconds of ``none`` and ``stuffed`` in the same round, all as medians with
        their ends;
        ``prompt_tokens`` and ``knowledge_tokens`` of the last call), ``search_info``, ``base``,
        ``encoders``, ``machine``.

    Raises:
        TooLongError: What is found cannot be read whole.
        RuntimeError: An arm found nothing, or read again what was kept.
    """
    answerer, clock = build_answerer(setting.for_answers()), Stopwatch()
    model = answerer.model
    embedder = TimedEmbedder(setting.embedder, model.device.type, clock)
    calls: dict[str, list[Call]] = {name: [] for name in CALL_ARMS}
    with TemporaryDirectory() as name:
        on_step("index")
        library = build_library(setting, answerer, embedder, Path(name) / "index")
        on_step("states")
        kept = {arm: _keep(model, library, Path(name), dtype) for arm, dtype in _KEPT.items()}
        for number, question in enumerate(library.questions):
            first = number % len(CALL_ARMS)
            for arm in CALL_ARMS[first:] + CALL_ARMS[:first]:
                on_step(f"round {number} of {setting.rounds}: {arm}" if number else f"once: {arm}")
                mode = MODES_OF_ARMS[arm]
                call = ask(library.index, model, question, setting.k, mode, clock, kept.get(arm))
                _check(arm, call)
                if number:  # the first was to warm up
                    calls[arm].append(call)
        info = library.index.search_info
        kept.clear()
    return {
        "arms": {arm: _summary(made, calls) for arm, made in calls.items()},
        "search_info": info,
        "base": model_size(answerer.bare),
        "encoders": model_size(model.encoders),
        "machine": describe_machine(model.device),
    }


def _keep(
    model: DiekaeModel, library: Library, folder: Path, dtype: StateDtype | None
) -> KeptStates:
    """What can be found, read before anybody asks."""
    kept = model.keep_states(folder / f"{dtype or 'own'}.states", dtype=dtype, max_bytes=0)
    model.states = None
    kept.add(library.findable)
    return kept


def _check(arm: str, call: Call) -> None:
    usage = call.usage
    if usage.truncated_tokens or usage.dropped_passages:
        raise TooLongError(
            f"{arm}: {usage.truncated_tokens} tokens of passages would be cut; ask for fewer, or "
            "for shorter ones."
        )
    if arm != "none" and not call.found:
        raise RuntimeError(f"{arm}: the search found nothing.")
    if arm in _KEPT and usage.knowledge_tokens_from_kept_states != usage.knowledge_tokens:
        raise RuntimeError(
            f"{arm}: of {usage.knowledge_tokens} tokens that were kept, only "
            f"{usage.knowledge_tokens_from_kept_states} were not read again."
        )


def _summary(made: Sequence[Call], calls: Mapping[str, Sequence[Call]]) -> dict[str, Any]:
    last = made[-1].usage
    return {
        "seconds": spread([call.seconds for call in made]),
        "parts": {part: spread([call.parts[part] for call in made]) for part in PARTS},
        "ratios": {
            other: spread(
                [one.seconds / two.seconds for one, two in zip(made, calls[other], strict=True)]
            )
            for other in ("none", "stuffed")
        },
        "prompt_tokens": last.prompt_tokens,
        "knowledge_tokens": last.knowledge_tokens,
    }

"""One workload in a process of its own: ``python -m diekae_rag.bench.answering.worker``."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from diekae_rag.bench.answering.arms import ARMS, AnswerArm
from diekae_rag.bench.answering.setting import AnswerSetting
from diekae_rag.bench.answering.workload import Asked, TooLongError, build_asked
from diekae_rag.bench.machine import describe_machine
from diekae_rag.bench.memory import DoesNotFitError, available_bytes, check_fits
from diekae_rag.memory import PeakMemory

__all__ = ["measure", "measure_memory", "model_size"]

_Told = Callable[[str], object]


def measure(
    setting: AnswerSetting, names: Sequence[str], on_step: _Told = lambda step: None
) -> dict[str, Any]:
    """Times arms in turn, round after round, and then takes the memory of each.

    A first round is not counted. Memory is counted above all weights, in a run that is not timed
    and that follows one of the same arm, so that no library's loading is in it. On a CPU it is left
    out where the setting wants it ``"apart"``, and where the system only tells a process's peak
    since it began.

    Args:
        setting: The workload.
        names: Some of ``ARMS``.
        on_step: Told what is about to run.

    Returns:
        JSON values: ``arms`` (name -> ``fits`` and ``why``, or ``fits``, ``first_seconds`` and
        ``seconds`` of each round, ``new_tokens`` and ``tokens_read`` of a row, ``kept_bytes`` of a
        passage's token, ``once_seconds``, ``peak_bytes``, ``available_bytes``), ``passage_tokens``
        of a row, ``encoders`` and ``base`` (``weights``, ``bytes``), ``machine``.

    Raises:
        RuntimeError: An arm gave more or fewer tokens than were asked for.
    """
    try:
        asked = build_asked(setting)
    except DoesNotFitError as error:
        why = f"the weights: {error}"
        return {"arms": {name: {"fits": False, "why": why} for name in names}}
    results: dict[str, dict[str, Any]] = {}
    arms: dict[str, AnswerArm] = {}
    for name in names:
        try:
            arms[name] = _made(asked, name)
            results[name] = {"fits": True, "first_seconds": [], "seconds": []}
        except (DoesNotFitError, TooLongError) as error:
            results[name] = {"fits": False, "why": str(error)}
    try:
        _time(setting, arms, results, on_step)
    except (MemoryError, torch.OutOfMemoryError):
        why = "memory ran out"
        return {"arms": {name: {"fits": False, "why": why} for name in names}}
    measured, device = list(arms), asked.model.device
    arms.clear()  # and with them what they keep ready
    for name in measured:
        results[name].update(peak_bytes=None, available_bytes=None)
        if setting.memory == "together" or device.type == "cuda":
            on_step(f"memory: {name}")
            results[name].update(_memory(ARMS[name](asked), device))
    weights = {"base": asked.bare, "encoders": asked.model.encoders}
    return {
        "arms": results,
        "passage_tokens": asked.requests("inject")[0].knowledge_tokens,
        **{name: model_size(module) for name, module in weights.items()},
        "machine": describe_machine(asked.model.device),
    }


def measure_memory(setting: AnswerSetting, name: str) -> dict[str, Any]:
    """The memory of one arm, in a process that runs no other.

    Args:
        setting: The workload.
        name: One of ``ARMS``.

    Returns:
        ``peak_bytes`` above all weights, ``None`` where the system does not tell it, and
        ``available_bytes`` before it.
    """
    asked = build_asked(setting)
    warm = ARMS[name](asked)
    if warm.prepare is not None:
        warm.prepare()
    warm.run()
    del warm
    return _memory(ARMS[name](asked), asked.model.device)


def _made(asked: Asked, name: str) -> AnswerArm:
    """An arm, unless it would take more memory than there is."""
    arm = ARMS[name](asked)
    setting = asked.setting
    config: Any = asked.bare.config
    size = asked.bare.dtype.itemsize
    widths = 4 * config.hidden_size + 3 * config.intermediate_size
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cached = 2 * config.num_hidden_layers * heads * head
    copies = 2 if arm.prepare is not None else 1
    needed = setting.batch_size * arm.tokens_read * size * (widths + copies * cached)
    check_fits(needed, asked.model.device)
    return arm


def _time(
    setting: AnswerSetting,
    arms: Mapping[str, AnswerArm],
    results: Mapping[str, dict[str, Any]],
    on_step: _Told,
) -> None:
    """Fills in what the rounds give; nobody always follows the same one."""
    for name, arm in arms.items():
        began = time.perf_counter()
        if arm.prepare is not None:
            arm.prepare()
        results[name].update(
            once_seconds=None if arm.prepare is None else time.perf_counter() - began,
            tokens_read=arm.tokens_read,
            kept_bytes=arm.kept_bytes,
        )
    for number in range(setting.rounds + 1):
        first = number % len(arms) if arms else 0
        for name in [*arms][first:] + [*arms][:first]:
            on_step(f"round {number} of {setting.rounds}: {name}" if number else f"once: {name}")
            timed = arms[name].run()
            if set(timed.new_tokens) - {setting.new_tokens}:
                raise RuntimeError(
                    f"{name} gave {timed.new_tokens} tokens and not {setting.new_tokens} each."
                )
            results[name]["new_tokens"] = setting.new_tokens if timed.new_tokens else 0
            if number:  # the first was to warm up
                results[name]["first_seconds"].append(timed.first_seconds)
                results[name]["seconds"].append(timed.seconds)


def _memory(arm: AnswerArm, device: torch.device) -> dict[str, Any]:
    """Peak of one more run, above what is there without it: what it keeps ready is part of it."""
    memory = PeakMemory(device)
    available = available_bytes(device)
    if memory.measured_by == "lifetime":
        return {"peak_bytes": None, "available_bytes": available}
    if arm.prepare is not None:
        arm.prepare()
        memory.restart()
    arm.run()
    return {"peak_bytes": memory.above, "available_bytes": available}


def model_size(module: torch.nn.Module) -> dict[str, int]:
    """How many weights a module has, and of how many bytes."""
    weights = list(module.parameters())
    return {"weights": sum(w.numel() for w in weights), "bytes": sum(w.nbytes for w in weights)}


def _main() -> None:
    request = json.loads(sys.stdin.readline())
    with suppress(OSError):  # if memory runs out after all, let it be us who is ended
        Path("/proc/self/oom_score_adj").write_text("1000")
    warnings.simplefilter("ignore")

    def tell(step: str) -> None:
        sys.stdout.write(json.dumps({"step": step}) + "\n")
        sys.stdout.flush()

    setting = AnswerSetting(**request["setting"])
    if "memory_of" in request:
        report = measure_memory(setting, request["memory_of"])
    else:
        report = measure(setting, request["arms"], tell)
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    _main()

"""Every arm in turn, round after round, and what that adds up to. No model library is loaded."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diekae_rag.bench.setting import Setting

__all__ = ["ARM_NAMES", "EPOCHS", "benchmark", "measure_apart", "summarise"]

EPOCHS = 5
"""Epochs over which a dump made once is spread."""

ARM_NAMES = (
    "distill (differences)",
    "distill (dumped targets)",
    "distill (one trunk)",
    "distill (one trunk, dumped targets)",
    "distill (outputs)",
    "fine-tune",
    "LoRA",
    "full",
)
"""The arms of ``diekae_rag.bench.arms``, named here so that nothing heavy is loaded."""

_BASELINE = "LoRA"
_GOALS = {
    "distill (differences)": {"seconds": 1 / 7, "peak_bytes": 1 / 3},
    "distill (dumped targets)": {"seconds_over_epochs": 1 / 20},
    "distill (one trunk)": {"seconds": 1 / 7, "peak_bytes": 1 / 3},
    "distill (one trunk, dumped targets)": {"seconds_over_epochs": 1 / 20},
}
_Measure = Callable[[Setting, str], Mapping[str, Any]]


def measure_apart(setting: Setting, name: str) -> Mapping[str, Any]:
    """Measures one arm in a new process; one that is killed for its memory does not fit.

    Raises:
        RuntimeError: The process failed; the message ends as its own output did.
    """
    request = json.dumps({"setting": setting.to_dict(), "arm": name})
    command = [sys.executable, "-m", "diekae_rag.bench.worker"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        return {"fits": False, "needed_bytes": None, "available_bytes": None}
    if done.returncode:
        raise RuntimeError(f"{name} could not be measured: {done.stderr.strip()[-2000:]}")
    report: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def benchmark(
    setting: Setting,
    *,
    arms: Sequence[str] = ARM_NAMES,
    rounds: int = 3,
    measure: _Measure = measure_apart,
    on_step: Callable[[str], object] = lambda step: None,
) -> dict[str, Any]:
    """Measures every arm once in each round, in turn, so that a slow hour slows them all.

    Args:
        setting: The workload.
        arms: Which ones.
        rounds: How many times each.
        measure: Measures one arm once.
        on_step: Told what is about to be measured, and what came of it.

    Returns:
        A report of JSON values: ``setting``, ``rounds``, ``epochs``, ``load_average`` before the
        first round, ``machine``, ``base``, ``arms`` (name -> ``summarise``), ``ratios`` (name ->
        ``seconds``, ``seconds_over_epochs``, ``peak_bytes``: medians over LoRA's, ``None`` where
        either was not measured) and ``goals``.

    Raises:
        ValueError: An arm that does not exist, or no round.
    """
    if unknown := sorted(set(arms) - set(ARM_NAMES)) or not arms:
        raise ValueError(f"arms must be some of {', '.join(ARM_NAMES)}; got {unknown or 'none'}.")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}.")
    load = os.getloadavg()
    results: dict[str, list[Mapping[str, Any]]] = {name: [] for name in arms}
    for number in range(1, rounds + 1):
        for name in arms:
            if results[name] and not results[name][-1]["fits"]:
                continue
            on_step(f"round {number} of {rounds}: {name}")
            results[name].append(measure(setting, name))
            on_step(_outcome(results[name][-1]))
    measured = [result for some in results.values() for result in some if result["fits"]]
    summaries = {name: summarise(some) for name, some in results.items()}
    ratios = {name: _ratios(arm, summaries.get(_BASELINE)) for name, arm in summaries.items()}
    return {
        "setting": setting.to_dict(),
        "rounds": rounds,
        "epochs": EPOCHS,
        "load_average": list(load),
        "machine": measured[0]["machine"] if measured else None,
        "base": measured[0]["base"] if measured else None,
        "arms": summaries,
        "ratios": ratios,
        "goals": _goals(ratios),
    }


def summarise(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One arm's rounds as medians, with the least and the most.

    Returns:
        ``fits``; then ``needed_bytes`` and ``available_bytes``, or ``seconds`` a step,
        ``peak_bytes``, ``dump`` (the same two, once; or ``None``), ``seconds_over_epochs`` (a
        step's, with its share of the dump), ``trained_weights`` and ``details``.
    """
    if missed := [result for result in results if not result["fits"]]:
        return {name: missed[0][name] for name in ("fits", "needed_bytes", "available_bytes")}
    last = results[-1]
    seconds = _spread([s for result in results for s in result["seconds"]])
    dump, over_epochs = None, seconds["median"]
    if last["dump"] is not None:
        dumps = [result["dump"] for result in results]
        dump = {
            "seconds": _spread([s for dump in dumps for s in dump["seconds"]]),
            "peak_bytes": _spread([dump["peak_bytes"] for dump in dumps]),
        }
        over_epochs += dump["seconds"]["median"] / EPOCHS
    return {
        "fits": True,
        "seconds": seconds,
        "peak_bytes": _spread([result["peak_bytes"] for result in results]),
        "dump": dump,
        "seconds_over_epochs": over_epochs,
        "trained_weights": last["trained_weights"],
        "details": last["details"],
    }


def _outcome(result: Mapping[str, Any]) -> str:
    """One measurement in words, for whoever waits for the next."""
    if not result["fits"]:
        return "does not fit into the memory that is free"
    seconds, size = statistics.median(result["seconds"]), result["peak_bytes"] / 2**30
    return f"{seconds:.3f} s a step, {size:.2f} GiB above the base model"


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def _ratios(arm: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> dict[str, Any]:
    """An arm's medians as shares of the baseline's."""
    if not arm["fits"] or baseline is None or not baseline["fits"]:
        return dict.fromkeys(("seconds", "seconds_over_epochs", "peak_bytes"))
    step = baseline["seconds"]["median"]
    return {
        "seconds": arm["seconds"]["median"] / step,
        "seconds_over_epochs": arm["seconds_over_epochs"] / step,
        "peak_bytes": arm["peak_bytes"]["median"] / baseline["peak_bytes"]["median"],
    }


def _goals(ratios: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What we want to reach, beside what was measured."""
    goals = []
    for arm, wanted in _GOALS.items():
        for figure, most in wanted.items():
            value = ratios.get(arm, {}).get(figure)
            met = None if value is None else value <= most
            goal = {"arm": arm, "figure": figure, "at_most": most, "value": value, "is_met": met}
            goals.append(goal)
    return goals

"""One arm measured in a process of its own: ``python -m diekae_rag.bench.worker`` reads JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diekae_rag.bench.arms import ARMS
from diekae_rag.bench.machine import describe_machine
from diekae_rag.bench.memory import DoesNotFitError, check_fits, step_bytes
from diekae_rag.bench.setting import Setting
from diekae_rag.bench.workload import build_workload
from diekae_rag.memory import PeakMemory
from diekae_rag.training.schedule import Schedule, build_optimizers

__all__ = ["measure"]


def measure(setting: Setting, name: str) -> dict[str, Any]:
    """Steps one arm and takes its time and its memory.

    A step is forward, backward and AdamW. The same is done once beforehand on the tiny shape, so
    that no library's loading is timed or counted; memory is counted from when the base model's
    weights are there, so that the arm's own weights are part of it.

    Args:
        setting: The workload.
        name: One of ``ARMS``.

    Returns:
        JSON values: ``fits``, and either ``needed_bytes`` and ``available_bytes``, or ``seconds``
        (each timed step), ``peak_bytes``, ``trained_weights`` (those that got gradient),
        ``details``, ``dump`` (``seconds``, ``peak_bytes``; or ``None``),
        ``base`` (``weights``, ``bytes``) and ``machine``.
    """
    _step_arm(replace(setting, shape="tiny", layers=(), steps=1), name)
    needed: int | None
    available: int | None
    try:
        return _step_arm(setting, name)
    except DoesNotFitError as error:
        needed, available = error.needed, error.available
    except (MemoryError, torch.OutOfMemoryError):
        needed = available = None
    return {"fits": False, "needed_bytes": needed, "available_bytes": available}


def _step_arm(setting: Setting, name: str) -> dict[str, Any]:
    workload = build_workload(setting)
    base, device = workload.base, workload.device
    num_weights = base.num_parameters()
    memory = PeakMemory(device)
    arm = ARMS[name](workload)
    check_fits(step_bytes(setting, arm), device)
    dump = None
    if arm.dump is not None:
        seconds = _times(arm.dump, setting.steps, device)
        dump = {"seconds": seconds, "peak_bytes": memory.above}
        memory.restart()
    optimizers = build_optimizers(arm.trained, Schedule(1, 1e-4))
    losses: list[Tensor] = []
    trained: set[str] = set()

    def step() -> None:
        loss, _ = arm.objective(arm.draw())
        loss.backward()
        if not trained:
            trained.update(n for n, p in arm.trained.items() if p.grad is not None)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())

    seconds = _times(step, setting.steps, device)
    peak = memory.above
    if not all(math.isfinite(float(loss)) for loss in losses):
        raise RuntimeError(f"{name}: a loss is not a number: {[float(loss) for loss in losses]}.")
    return {
        "fits": True,
        "seconds": seconds,
        "peak_bytes": peak,
        "trained_weights": sum(p.numel() for n, p in arm.trained.items() if n in trained),
        "details": dict(arm.details),
        "dump": dump,
        "base": {"weights": num_weights, "bytes": num_weights * base.dtype.itemsize},
        "machine": describe_machine(device),
    }


def _times(work: Callable[[], None], count: int, device: torch.device) -> list[float]:
    """Seconds of each of ``count`` times, after one that is not counted."""
    seconds = []
    for _ in range(count + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def _main() -> None:
    request = json.loads(sys.stdin.read())
    with suppress(OSError):  # if memory runs out after all, let it be us who is ended
        Path("/proc/self/oom_score_adj").write_text("1000")
    report = measure(Setting(**request["setting"]), request["arm"])
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    _main()

"""One workload measured in a process of its own. No model library is loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diekae_rag.bench.answering.setting import AnswerSetting

__all__ = ["measure_apart"]


def measure_apart(
    setting: AnswerSetting, arms: Sequence[str], on_step: Callable[[str], object]
) -> Mapping[str, Any]:
    """Times one workload in a new process, and takes each arm's memory in another.

    Where a process is killed for its memory, nothing fits.

    Args:
        setting: The workload.
        arms: Names of arms.
        on_step: Told what is about to run.

    Returns:
        As ``worker.measure``.

    Raises:
        RuntimeError: A process failed; the message ends as its own output did.
    """
    report = _ask(setting, {"arms": list(arms)}, on_step)
    if report is None:
        why = "its process was ended, most likely for its memory"
        return {"arms": {name: {"fits": False, "why": why} for name in arms}}
    for name, arm in report["arms"].items():
        if arm["fits"] and arm["peak_bytes"] is None and setting.memory == "apart":
            on_step(f"memory: {name}")
            arm.update(_ask(setting, {"memory_of": name}, on_step) or {})
    return report


def _ask(
    setting: AnswerSetting, request: Mapping[str, Any], on_step: Callable[[str], object]
) -> dict[str, Any] | None:
    """What a new process says; nothing, if it was killed."""
    command = [sys.executable, "-m", "diekae_rag.bench.answering.worker"]
    line = json.dumps({"setting": setting.to_dict(), **request}) + "\n"
    with tempfile.TemporaryFile("w+") as said:  # a pipe that nobody reads would fill up
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=said, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(line)
                process.stdin.close()
                last: dict[str, Any] = {}
                for answer in process.stdout:
                    last = json.loads(answer)
                    if "step" in last:
                        on_step(last["step"])
            except BaseException:
                process.kill()
                raise
        said.seek(0)
        errors = said.read().strip()[-2000:]
    if process.returncode > 0:
        raise RuntimeError(f"{setting.name} could not be measured: {errors}")
    return last if process.returncode == 0 else None

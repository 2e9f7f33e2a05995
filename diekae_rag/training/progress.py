"""Where a run stands: shown while it lasts, logged line by line, and kept with its checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from diekae_rag.files import write_text

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Steps, seconds, smoothed figures and evaluations of one stage.

    Args:
        name: What is trained.
        folder: Where ``metrics.jsonl`` goes.
        num_steps: Steps in all.
        saved: What ``state`` gave when the run was stopped; empty for a new one.
        is_main: Whether this process is the one that shows and logs.
        is_shown: Whether to draw a progress bar.
        log_every: Steps between lines of the log.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        num_steps: int,
        saved: Mapping[str, Any],
        *,
        is_main: bool = True,
        is_shown: bool = True,
        log_every: int = 50,
    ) -> None:
        self.name, self.folder, self.num_steps, self.log_every = name, folder, num_steps, log_every
        self.step = int(saved.get("step", 0))
        self.averages: dict[str, float] = dict(saved.get("averages", {}))
        self.evaluations: list[tuple[int, float]] = [
            (int(step), float(value)) for step, value in saved.get("evaluations", [])
        ]
        self._first_loss: float | None = saved.get("first_loss")
        self._spent, self._began = float(saved.get("seconds", 0.0)), time.monotonic()
        self._is_main = is_main
        self._tokens, self._tokens_since = 0, self._began
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=Console(stderr=True),
            disable=not (is_main and is_shown),
        )
        self._task = self._bar.add_task(name, total=num_steps, completed=self.step, metrics="")

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._is_main:
            self._forget_what_is_done_again()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Seconds spent, earlier runs included."""
        return self._spent + time.monotonic() - self._began

    @property
    def is_diverging(self) -> bool:
        """True once the smoothed loss is twice what it was at the first step, and more."""
        first = self._first_loss
        return first is not None and self.averages["loss"] > 2 * first + 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON values."""
        return {
            "name": self.name,
            "step": self.step,
            "seconds": self.seconds,
            "averages": self.averages,
            "first_loss": self._first_loss,
            "evaluations": self.evaluations,
        }

    def advance(self, values: Mapping[str, float], num_tokens: int) -> None:
        """Counts a step and its figures."""
        self.step += 1
        if self._first_loss is None:
            self._first_loss = values["loss"]
        for key, value in values.items():
            self.averages[key] = value + 0.98 * (self.averages.get(key, value) - value)
        shown = " ".join(f"{key} {value:.3f}" for key, value in self.averages.items())
        self._tokens += num_tokens
        self._bar.update(self._task, completed=self.step, metrics=shown)
        if self.step % self.log_every == 0 or self.step == self.num_steps:
            now = time.monotonic()
            rate = self._tokens / max(1e-9, now - self._tokens_since)
            self._tokens, self._tokens_since = 0, now
            self._bar.update(self._task, metrics=f"{shown} {rate:,.0f} tokens/s")
            rounded = {key: round(value, 4) for key, value in self.averages.items()}
            self._log({**rounded, "tokens_per_second": round(rate, 1)})

    def evaluated(self, value: float) -> bool:
        """Notes a held-out loss; true where it is the best so far."""
        best = min((v for _, v in self.evaluations), default=float("inf"))
        self.evaluations.append((self.step, value))
        self._log({"held_out_loss": round(value, 6)})
        return value < best

    def has_stopped_improving(self, patience: int | None) -> bool:
        """True where the last ``patience`` held-out losses are all above an earlier one."""
        values = [value for _, value in self.evaluations]
        if patience is None or len(values) <= patience:
            return False
        return min(values[-patience:]) >= min(values[:-patience])

    def _forget_what_is_done_again(self) -> None:
        """Takes steps after the checkpoint out of the log: they are about to be logged anew."""
        log = self.folder / "metrics.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= self.step]
            if len(kept) < len(lines):
                write_text(log, "".join(kept))

    def _log(self, figures: Mapping[str, float]) -> None:
        if self._is_main:
            record = {"stage": self.name, "step": self.step, "seconds": round(self.seconds, 1)}
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({**record, **figures}) + "\n")

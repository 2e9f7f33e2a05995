"""The training loop: one for every stage, the objective passed in."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from diekae_rag.training.checkpoints import load_checkpoint, save_checkpoint

__all__ = ["Schedule", "train"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps and learning rates: warm-up, then constant, then linearly down to nothing.

    Args:
        num_steps: Steps in all.
        learning_rate: Peak rate. Matrices inside the blocks are trained with Muon at this rate,
            everything else with AdamW at this rate.
        warmup_steps: Steps from zero to the peak.
        decay_share: The share of the steps, at the end, over which the rate falls.
    """

    num_steps: int
    learning_rate: float
    warmup_steps: int = 100
    decay_share: float = 0.3

    def factor(self, step: int) -> float:
        """The share of the peak rate used at a step.

        Example:
            >>> Schedule(100, 1e-3, warmup_steps=10).factor(50)
            1.0
        """
        decay_steps = max(1, round(self.num_steps * self.decay_share))
        up = (step + 1) / max(1, self.warmup_steps)
        down = (self.num_steps - step) / decay_steps
        return min(1.0, up, down)


def _optimizers(parameters: dict[str, nn.Parameter], rate: float) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in parameters.items() if p.ndim == 2 and "layers." in name]
    others = [p for name, p in parameters.items() if p.ndim != 2 or "layers." not in name]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=rate,
                momentum=0.95,
                weight_decay=0.01,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if others:
        optimizers.append(
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        )
    return optimizers


def train(
    name: str,
    parameters: dict[str, nn.Parameter],
    objective: Callable[[int], tuple[Tensor, dict[str, float]]],
    schedule: Schedule,
    folder: Path,
    *,
    max_grad_norm: float = 1.0,
    checkpoint_every: int = 200,
    show_progress: bool = True,
) -> float:
    """Trains until the schedule ends; a run that was stopped goes on where it was.

    The objective draws its data from the step's number, so that a run stopped at any step and
    resumed sees just what an uninterrupted one sees.

    Args:
        name: What is trained, for the progress bar.
        parameters: What gets gradient; nothing else changes.
        objective: Step number to loss (``[]``) and metrics to show.
        schedule: Steps and rates.
        folder: Where the checkpoint and ``metrics.jsonl`` go.
        max_grad_norm: Gradients longer than this are shortened to it.
        checkpoint_every: Steps between checkpoints.
        show_progress: Whether to draw a progress bar.

    Returns:
        Seconds spent training, earlier runs included.

    Raises:
        FloatingPointError: The loss is not a number any more.
        ValueError: The checkpoint in ``folder`` is of other weights.
    """
    optimizers = _optimizers(parameters, schedule.learning_rate)
    folder.mkdir(parents=True, exist_ok=True)
    progress = load_checkpoint(folder / "checkpoint", parameters, optimizers)
    first, spent = int(progress.get("step", 0)), float(progress.get("seconds", 0.0))
    began = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    )
    averages: dict[str, float] = dict(progress.get("averages", {}))
    with Progress(*columns, disable=not show_progress) as bar:
        task = bar.add_task(name, total=schedule.num_steps, completed=first, metrics="")
        for step in range(first, schedule.num_steps):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = schedule.learning_rate * schedule.factor(step)
            loss, metrics = objective(step)
            if not math.isfinite(float(loss.detach())):
                raise FloatingPointError(
                    f"{name}: the loss is {float(loss.detach())} at step {step}. Lower the "
                    f"learning rate (now {schedule.learning_rate}) and start again; the last "
                    f"checkpoint is in {folder}."
                )
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters.values(), max_grad_norm)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            for key, value in {"loss": float(loss.detach()), **metrics}.items():
                averages[key] = value + 0.98 * (averages.get(key, value) - value)
            bar.update(
                task,
                completed=step + 1,
                metrics=" ".join(f"{key} {value:.3f}" for key, value in averages.items()),
            )
            seconds = spent + time.monotonic() - began
            if (step + 1) % 50 == 0:
                with (folder / "metrics.jsonl").open("a") as log:
                    record = {"stage": name, "step": step + 1, "seconds": round(seconds, 1)}
                    rounded = {key: round(value, 4) for key, value in averages.items()}
                    log.write(json.dumps({**record, **rounded}) + "\n")
            if (step + 1) % checkpoint_every == 0 or step + 1 == schedule.num_steps:
                save_checkpoint(
                    folder / "checkpoint",
                    parameters,
                    optimizers,
                    {
                        "name": name,
                        "step": step + 1,
                        "seconds": seconds,
                        "averages": averages,
                    },
                )
    return spent + time.monotonic() - began

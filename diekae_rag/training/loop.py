"""The training loop: one for every stage, the objective passed in.

Devices, mixed precision and several processes are accelerate's; see ``engines``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from diekae_rag.errors import TrainingError
from diekae_rag.training.checkpoints import newest_checkpoint, saved_progress
from diekae_rag.training.cost import start_peak_memory, write_cost
from diekae_rag.training.launching import default_accelerator, start_engine
from diekae_rag.training.progress import TrainingProgress
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["TrainingBatch", "default_accelerator", "train"]


class TrainingBatch(Protocol):
    """What a draw gives."""

    @property
    def num_tokens(self) -> int:
        """Real tokens in it, for the speed shown."""

    def to(self, device: torch.device) -> Self:
        """The same on another device."""


BatchType = TypeVar("BatchType", bound=TrainingBatch)


def train(
    name: str,
    objective: nn.Module,
    draw: Callable[[int], BatchType],
    schedule: Schedule,
    folder: Path,
    *,
    accelerator: Accelerator | None = None,
    evaluate: Callable[[], float] | None = None,
    evaluate_every: int = 200,
    patience: int | None = None,
    checkpoint_every: int = 200,
    num_checkpoints: int = 1,
    show_progress: bool = True,
) -> float:
    """Trains until the schedule ends; a run that was stopped goes on where it was.

    Batches are drawn by number, so that a run stopped at any step and resumed sees just what an
    uninterrupted one sees.

    Args:
        name: What is trained, for the progress bar.
        objective: From a batch to a loss ``[]`` and figures to show ``[]``; what of it requires
            gradient is trained.
        draw: Number to batch. Processes and accumulated batches take the numbers in turn.
        schedule: Steps, rates and optimiser.
        folder: Where ``checkpoints/``, ``best/``, ``metrics.jsonl`` and ``cost.json`` go.
        accelerator: Devices and precision; a plain one when not given.
        evaluate: Loss on held-out data; the weights of its best value are kept in ``best/``, and
            put back at the end.
        evaluate_every: Steps between evaluations.
        patience: Evaluations without a better value before training stops; never when not given.
        checkpoint_every: Steps between checkpoints.
        num_checkpoints: How many of them are kept.
        show_progress: Whether to draw a progress bar.

    Returns:
        Seconds spent training, earlier runs included.

    Raises:
        TrainingError: The loss is not a number any more, it grew instead of falling, or memory ran
            out; the message says what to try.
        ValueError: The checkpoint in ``folder`` is of other weights, or of another schedule, or
            the engine that accelerate was launched with cannot do what is asked.
    """
    accelerator = accelerator or default_accelerator()
    _check_run(folder, schedule)
    engine = start_engine(objective, schedule, accelerator)
    saved = engine.load(folder)
    is_main = accelerator.is_main_process
    progress = TrainingProgress(
        name, folder, schedule.num_steps, saved, is_main=is_main, is_shown=show_progress
    )
    device, world = accelerator.device, accelerator.num_processes
    is_new = progress.step < schedule.num_steps
    start_peak_memory(device)
    accumulated = schedule.gradient_accumulation_steps

    def save(place: Path, num_kept: int) -> None:
        state = {**progress.state(), "schedule": asdict(schedule)}
        engine.save(place, state, num_kept=num_kept)

    with progress, _explaining_memory(name):
        for step in range(progress.step, schedule.num_steps):
            if progress.has_stopped_improving(patience):
                save(folder, num_checkpoints)
                break
            engine.set_rate(schedule.learning_rate * schedule.factor(step))
            figures: list[Mapping[str, Tensor]] = []
            num_tokens = 0
            for part in range(accumulated):
                number = (step * accumulated + part) * world + accelerator.process_index
                batch = draw(number)
                num_tokens += batch.num_tokens * world
                is_last = part + 1 == accumulated
                figures.append(engine.accumulate(batch.to(device), is_last=is_last))
            values = _mean(figures, accelerator)
            _check(name, step, values["loss"], progress, schedule, folder)
            norm = engine.step()
            if norm is not None and not norm.isfinite():
                raise _diverged(f"the gradient is {float(norm)}", name, step, schedule, folder)
            progress.advance(values, num_tokens)
            accelerator.log({f"{name}/{key}": value for key, value in values.items()}, step + 1)
            if evaluate is not None and (step + 1) % evaluate_every == 0:
                engine.module.eval()
                with engine.autocast():
                    is_best = progress.evaluated(_agreed(evaluate(), accelerator))
                engine.module.train()
                if is_best:
                    save(folder / "best", 1)
            if (step + 1) % checkpoint_every == 0 or step + 1 == schedule.num_steps:
                save(folder, num_checkpoints)
    seconds = progress.seconds
    if is_new and is_main:
        write_cost(folder, device, seconds, engine.num_weights)
    engine.finish()
    if (best := newest_checkpoint(folder / "best")) is not None and evaluate is not None:
        engine.load_weights(best)
    return seconds


def _agreed(value: float, accelerator: Accelerator) -> float:
    """One held-out loss for all processes: what each does next depends on it."""
    if accelerator.num_processes == 1:
        return value
    return float(accelerator.reduce(torch.tensor(value, device=accelerator.device), "mean"))


def _mean(figures: list[Mapping[str, Tensor]], accelerator: Accelerator) -> dict[str, float]:
    """Means over accumulated batches and over processes."""
    names = list(figures[0])
    own = torch.stack([torch.stack([f[n].float() for f in figures]).mean() for n in names])
    mean: Tensor = accelerator.reduce(own, "mean")
    return dict(zip(names, mean.tolist(), strict=True))


def _check(
    name: str, step: int, loss: float, progress: TrainingProgress, schedule: Schedule, folder: Path
) -> None:
    """Stops a run that cannot come to anything, before it harms the weights."""
    if not math.isfinite(loss):
        raise _diverged(f"the loss is {loss}", name, step, schedule, folder)
    if step > schedule.warmup_steps and progress.is_diverging:
        grown = f"the loss has grown to {progress.averages['loss']:.3g}"
        raise _diverged(grown, name, step, schedule, folder)


def _diverged(what: str, name: str, step: int, schedule: Schedule, folder: Path) -> TrainingError:
    return TrainingError(
        f"{name}: {what} at step {step}. Lower the learning rate (now {schedule.learning_rate:g}), "
        f"raise the warm-up steps (now {schedule.warmup_steps}), and start again in another folder;"
        f" the last checkpoint is in {folder}."
    )


def _check_run(folder: Path, schedule: Schedule) -> None:
    """Refuses to go on with a run that was begun otherwise.

    Raises:
        ValueError: Its schedule was another.
    """
    was = saved_progress(folder).get("schedule")
    now = asdict(schedule)
    if was is not None and was != now:
        differing = [name for name in now if was.get(name) != now[name]]
        raise ValueError(
            f"the run in {folder} was begun with "
            f"{', '.join(f'{n}={was.get(n)} and not {now[n]}' for n in differing)}; "
            "start in another folder, or go on as it was begun."
        )


@contextmanager
def _explaining_memory(name: str) -> Any:
    """Turns running out of memory into advice."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not is_memory and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"{name}: memory ran out. Halve the batch size and double the gradient accumulation "
            "steps, shorten the passages (max_passage_tokens, max_passages), or load the base "
            "model in 8 or 4 bit."
        ) from error

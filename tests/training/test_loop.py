"""A training run can be stopped anywhere and goes on as if it had not been."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
import torch
from accelerate.tracking import GeneralTracker
from safetensors.torch import load_file
from torch import nn

from diekae_rag.errors import TrainingError
from diekae_rag.training.checkpoints import newest_checkpoint, save_checkpoint, saved_progress
from diekae_rag.training.loop import default_accelerator, train
from diekae_rag.training.schedule import Schedule


class Stopped(Exception):
    """Stands for a kill."""


@dataclass
class Numbers:
    """A batch of a small regression."""

    inputs: torch.Tensor
    num_tokens: int = 8

    def to(self, device):
        return Numbers(self.inputs.to(device))


class Problem(nn.Module):
    """A small regression: matrices in blocks, and weights outside of them."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head = nn.Linear(width, 1)
        self.seen: list[int] = []
        self.stop_at: int | None = None
        self.bad_at: dict[int, float] = {}

    def forward(self, batch: Numbers):
        hidden = batch.inputs
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        loss = (self.head(hidden) - batch.inputs.sum(1, keepdim=True)).square().mean()
        loss = loss * self.bad_at.get(self.seen[-1], 1.0)
        return loss, {"error": loss.detach()}

    def draw(self, number: int) -> Numbers:
        if number == self.stop_at:
            raise Stopped
        self.seen.append(number)
        return Numbers(torch.randn(8, 6, generator=torch.Generator().manual_seed(number)))


def error(problem, number=1_000):
    with torch.no_grad():
        return float(problem(problem.draw(number))[0])


def run(problem, folder, num_steps=12, *, optimizer="muon", accumulation=1, **options):
    settings = {"checkpoint_every": 4, "show_progress": False, **options}
    schedule = Schedule(
        num_steps,
        1e-2,
        warmup_steps=3,
        optimizer=optimizer,
        gradient_accumulation_steps=accumulation,
    )
    settings.setdefault("accelerator", default_accelerator(cpu=True))
    return train("toy", problem, problem.draw, schedule, folder, **settings)


def weights_of(problem):
    return {name: weight.detach().clone() for name, weight in problem.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stop_at", [0, 3, 4, 5, 8, 11])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, stop_at, optimizer):
    whole, stopped, resumed = Problem(), Problem(), Problem()
    run(whole, tmp_path / "whole", optimizer=optimizer)

    stopped.stop_at = stop_at
    with pytest.raises(Stopped):
        run(stopped, tmp_path / "parts", optimizer=optimizer)
    run(resumed, tmp_path / "parts", optimizer=optimizer)

    assert resumed.seen == list(range(stop_at - stop_at % 4, 12))
    for name, weight in weights_of(whole).items():
        assert torch.equal(weights_of(resumed)[name], weight), name


def test_the_weights_move_and_the_loss_falls(tmp_path):
    problem = Problem()
    before, first = weights_of(problem), error(problem)

    run(problem, tmp_path, num_steps=150)

    assert error(problem) < 0.8 * first
    assert not any(torch.equal(w, before[n]) for n, w in weights_of(problem).items())


def test_only_what_requires_gradient_changes(tmp_path):
    problem = Problem()
    problem.head.requires_grad_(False)
    frozen = weights_of(problem.head)

    run(problem, tmp_path, num_steps=5)

    assert all(torch.equal(weights_of(problem.head)[n], w) for n, w in frozen.items())


def test_a_finished_run_does_nothing_more(tmp_path):
    run(Problem(), tmp_path)
    again = Problem()

    run(again, tmp_path)

    assert again.seen == []


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path):
    """Batches of equal size: the mean of their gradients is the gradient of them all."""
    apart, together = Problem(), Problem()

    def pair(number):
        halves = [Problem.draw(together, 2 * number + part).inputs for part in range(2)]
        return Numbers(torch.cat(halves))

    run(apart, tmp_path / "apart", num_steps=5, accumulation=2)
    train(
        "toy",
        together,
        pair,
        Schedule(5, 1e-2, warmup_steps=3, optimizer="muon"),
        tmp_path / "together",
        accelerator=default_accelerator(cpu=True),
        show_progress=False,
    )

    assert apart.seen == list(range(10))
    for name, weight in weights_of(together).items():
        torch.testing.assert_close(weights_of(apart)[name], weight, atol=1e-4, rtol=1e-3)


def test_seconds_are_counted_over_all_parts(tmp_path):
    stopped = Problem()
    stopped.stop_at = 9
    with pytest.raises(Stopped):
        run(stopped, tmp_path)
    spent = json.loads((newest_checkpoint(tmp_path) / "progress.json").read_text())["seconds"]

    assert run(Problem(), tmp_path) > spent > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_an_error_and_spoils_nothing(tmp_path, bad):
    problem = Problem()
    problem.bad_at = {6: bad}

    with pytest.raises(TrainingError, match=r"at step 6.*learning rate"):
        run(problem, tmp_path)

    place = newest_checkpoint(tmp_path)
    assert json.loads((place / "progress.json").read_text())["step"] == 4
    weights = load_file(place / "weights.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())
    assert all(weight.isfinite().all() for weight in problem.parameters())


def test_a_gradient_that_is_no_number_is_an_error_and_spoils_nothing(tmp_path):
    problem = Problem()

    def draw(number):
        if number == 7:
            problem.head.weight.register_hook(lambda gradient: gradient * math.nan)
        return Problem.draw(problem, number)

    problem.draw = draw
    with pytest.raises(TrainingError, match="the gradient is nan at step 7"):
        run(problem, tmp_path)

    assert saved_progress(tmp_path)["step"] == 4
    weights = load_file(newest_checkpoint(tmp_path) / "weights.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize("change", [{"optimizer": "adamw"}, {"num_steps": 6}], ids=str)
def test_a_run_is_not_gone_on_with_under_another_schedule(tmp_path, change):
    run(Problem(), tmp_path)

    with pytest.raises(ValueError, match=f"{next(iter(change))}="):
        run(Problem(), tmp_path, **change)


def test_a_loss_that_grows_and_grows_stops_the_run(tmp_path):
    problem = Problem()
    problem.bad_at = {step: 5.0**step for step in range(5, 100)}

    with pytest.raises(TrainingError, match="has grown to"):
        run(problem, tmp_path, num_steps=100)


def test_running_out_of_memory_says_which_option_to_turn(tmp_path):
    problem = Problem()

    def draw(number):
        raise MemoryError

    problem.draw = draw
    with pytest.raises(TrainingError, match="gradient accumulation"):
        run(problem, tmp_path)


def test_another_error_is_left_as_it_is(tmp_path):
    problem = Problem()

    def draw(number):
        raise RuntimeError("something else")

    problem.draw = draw
    with pytest.raises(RuntimeError, match="something else"):
        run(problem, tmp_path)


def test_a_checkpoint_of_other_weights_is_refused_and_left_alone(tmp_path):
    run(Problem(), tmp_path)
    place = newest_checkpoint(tmp_path) / "weights.safetensors"
    before = place.read_bytes()

    with pytest.raises(ValueError, match="other weights"):
        run(Problem(width=7), tmp_path)

    assert place.read_bytes() == before


def test_the_last_checkpoints_are_kept(tmp_path):
    run(Problem(), tmp_path, num_checkpoints=2)

    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000008", "step-00000012"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    parameters = dict(Problem().named_parameters())
    kept = save_checkpoint(tmp_path, parameters, {}, {"step": 1})

    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, parameters, {}, {"step": 2, "what": object()})

    assert newest_checkpoint(tmp_path) == kept
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [kept.name]


def test_a_checkpoint_holds_no_pickle(tmp_path):
    run(Problem(), tmp_path)

    names = {path.name for path in newest_checkpoint(tmp_path).iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "progress.json"}


def test_metrics_are_written_line_by_line(tmp_path):
    run(Problem(), tmp_path, num_steps=100)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100]
    assert all(
        {"stage", "seconds", "loss", "error", "tokens_per_second"} <= set(line) for line in lines
    )


def test_the_best_weights_are_kept_and_training_stops_when_nothing_gets_better(tmp_path):
    problem = Problem()
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0, 2.0])
    weights = []

    def evaluate():
        weights.append(weights_of(problem))
        return next(losses)

    run(
        problem,
        tmp_path,
        num_steps=24,
        evaluate=evaluate,
        evaluate_every=4,
        patience=2,
        checkpoint_every=100,
    )

    assert len(weights) == 4
    assert saved_progress(tmp_path)["step"] == 16
    best = load_file(newest_checkpoint(tmp_path / "best") / "weights.safetensors")
    assert all(torch.equal(best[name], weight) for name, weight in weights[1].items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_steps": 0},
        {"learning_rate": 0.0},
        {"decay_share": 2.0},
        {"optimizer": "sgd"},
        {"gradient_accumulation_steps": 0},
        {"max_grad_norm": math.nan},
    ],
    ids=str,
)
def test_a_schedule_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Schedule(**{"num_steps": 5, "learning_rate": 1e-3, **wrong})


@pytest.mark.parametrize("num_steps", [1, 10, 1000])
def test_the_rate_rises_then_stays_then_falls_and_never_rises_again(num_steps):
    schedule = Schedule(num_steps, 1e-3, warmup_steps=5)

    factors = [schedule.factor(step) for step in range(num_steps)]

    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_a_run_that_was_stopped_counts_its_metrics_as_if_it_had_not_been(tmp_path):
    run(Problem(), tmp_path / "whole", num_steps=100)
    stopped = Problem()
    stopped.stop_at = 70
    with pytest.raises(Stopped):
        run(stopped, tmp_path / "parts", num_steps=100, checkpoint_every=45)
    run(Problem(), tmp_path / "parts", num_steps=100, checkpoint_every=45)

    lines = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()]
        for name in ("whole", "parts")
    }
    whole, parts = lines["whole"][-1], lines["parts"][-1]
    assert [line["step"] for line in lines["parts"]] == [50, 100]
    assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-4)


class Notes(GeneralTracker):
    """A tracker that keeps what it is told."""

    name, requires_logging_directory = "notes", False

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, dict]] = []

    @property
    def tracker(self):
        return self.told

    def store_init_configuration(self, values):
        """Not of interest here."""

    def log(self, values, step, **_):
        self.told.append((step, values))


def test_trackers_of_accelerate_are_told_every_step(tmp_path):
    notes = Notes()
    accelerator = default_accelerator(cpu=True, log_with=notes)
    accelerator.init_trackers("project")

    run(Problem(), tmp_path, num_steps=3, accelerator=accelerator)

    assert [step for step, _ in notes.told] == [1, 2, 3]
    assert all(set(values) == {"toy/loss", "toy/error"} for _, values in notes.told)


def test_what_training_took_is_written_down_over_all_parts(tmp_path):
    run(Problem(), tmp_path, num_steps=3)
    first = json.loads((tmp_path / "cost.json").read_text())
    run(Problem(), tmp_path, num_steps=3)

    assert json.loads((tmp_path / "cost.json").read_text()) == first
    assert first["peak_memory_bytes"] > 2**20
    assert first["trainable_weights"] == sum(p.numel() for p in Problem().parameters())


def test_the_best_weights_are_put_back_at_the_end(tmp_path):
    problem, losses, weights = Problem(), iter([3.0, 1.0, 2.0]), []

    def evaluate():
        weights.append(weights_of(problem))
        return next(losses)

    run(problem, tmp_path, num_steps=12, evaluate=evaluate, evaluate_every=4)

    assert all(torch.equal(weights[1][n], w) for n, w in weights_of(problem).items())

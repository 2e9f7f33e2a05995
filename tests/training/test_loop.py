"""A training run can be stopped anywhere and goes on as if it had not been."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diekae_rag.training.checkpoints import save_checkpoint
from diekae_rag.training.loop import Schedule, train


class Stopped(Exception):
    """Stands for a kill."""


class Problem:
    """A small regression: matrices in blocks, and weights outside of them."""

    def __init__(self, width: int = 6) -> None:
        torch.manual_seed(0)
        self.module = nn.ModuleDict(
            {
                "layers": nn.ModuleList(nn.Linear(width, width) for _ in range(2)),
                "head": nn.Linear(width, 1),
            }
        )
        self.seen: list[int] = []
        self.stop_at: int | None = None

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.module.named_parameters())

    def __call__(self, step: int):
        if step == self.stop_at:
            raise Stopped
        self.seen.append(step)
        inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        hidden = inputs
        for layer in self.module["layers"]:
            hidden = torch.tanh(layer(hidden))
        loss = (self.module["head"](hidden) - inputs.sum(1, keepdim=True)).square().mean()
        return loss, {"error": float(loss.detach())}


def run(problem, folder, num_steps=12, **options):
    settings = {"checkpoint_every": 4, "show_progress": False, **options}
    return train(
        "toy",
        problem.parameters,
        problem,
        Schedule(num_steps, 1e-2, warmup_steps=3),
        folder,
        **settings,
    )


@pytest.mark.parametrize("stop_at", [0, 3, 4, 5, 8, 11])
def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path, stop_at):
    whole, stopped, resumed = Problem(), Problem(), Problem()
    run(whole, tmp_path / "whole")

    stopped.stop_at = stop_at
    with pytest.raises(Stopped):
        run(stopped, tmp_path / "parts")
    run(resumed, tmp_path / "parts")

    assert resumed.seen == list(range(stop_at - stop_at % 4, 12))
    for name, weight in whole.parameters.items():
        assert torch.equal(resumed.parameters[name], weight), name


def test_the_weights_move_and_the_loss_falls(tmp_path):
    problem = Problem()
    before = {name: weight.detach().clone() for name, weight in problem.parameters.items()}
    first = problem(1_000)[1]["error"]

    run(problem, tmp_path, num_steps=150)

    assert problem(1_000)[1]["error"] < 0.8 * first
    assert not any(torch.equal(w, before[n]) for n, w in problem.parameters.items())


def test_only_the_parameters_that_were_named_change(tmp_path):
    problem = Problem()
    frozen = {n: w.detach().clone() for n, w in problem.parameters.items() if "head" in n}
    named = {n: w for n, w in problem.parameters.items() if "head" not in n}

    train("toy", named, problem, Schedule(5, 1e-2), tmp_path, show_progress=False)

    assert all(torch.equal(problem.parameters[n], w) for n, w in frozen.items())


def test_a_finished_run_does_nothing_more(tmp_path):
    run(Problem(), tmp_path)
    again = Problem()

    run(again, tmp_path)

    assert again.seen == []


def test_seconds_are_counted_over_all_parts(tmp_path):
    stopped = Problem()
    stopped.stop_at = 9
    with pytest.raises(Stopped):
        run(stopped, tmp_path)
    spent = json.loads((tmp_path / "checkpoint" / "progress.json").read_text())["seconds"]

    assert run(Problem(), tmp_path) > spent > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_an_error_and_spoils_nothing(tmp_path, bad):
    problem = Problem()

    def objective(step):
        loss, metrics = problem(step)
        return (loss * bad if step == 6 else loss), metrics

    with pytest.raises(FloatingPointError, match="step 6"):
        train(
            "toy",
            problem.parameters,
            objective,
            Schedule(12, 1e-2),
            tmp_path,
            checkpoint_every=4,
            show_progress=False,
        )

    progress = json.loads((tmp_path / "checkpoint" / "progress.json").read_text())
    assert progress["step"] == 4
    weights = load_file(tmp_path / "checkpoint" / "weights.safetensors")
    assert all(weight.isfinite().all() for weight in weights.values())
    assert all(weight.isfinite().all() for weight in problem.parameters.values())


def test_a_checkpoint_of_other_weights_is_refused_and_left_alone(tmp_path):
    run(Problem(), tmp_path)
    before = (tmp_path / "checkpoint" / "weights.safetensors").read_bytes()
    other = {"layers.0.weight": nn.Parameter(torch.zeros(2, 2))}

    with pytest.raises(ValueError, match="other weights"):
        train(
            "toy", other, lambda _: None, Schedule(3, 1e-2), tmp_path,
            show_progress=False,
        )  # fmt: skip

    assert (tmp_path / "checkpoint" / "weights.safetensors").read_bytes() == before


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    problem = Problem()
    save_checkpoint(tmp_path / "c", problem.parameters, [], {"step": 1})

    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", problem.parameters, [], {"step": object()})

    assert json.loads((tmp_path / "c" / "progress.json").read_text()) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_checkpoint_holds_no_pickle(tmp_path):
    run(Problem(), tmp_path)

    names = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "progress.json"}


def test_metrics_are_written_line_by_line(tmp_path):
    run(Problem(), tmp_path, num_steps=100)

    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100]
    assert all({"stage", "seconds", "loss", "error"} <= set(line) for line in lines)


@pytest.mark.parametrize("num_steps", [1, 10, 1000])
def test_the_rate_rises_then_stays_then_falls_and_never_rises_again(num_steps):
    schedule = Schedule(num_steps, 1e-3, warmup_steps=5)

    factors = [schedule.factor(step) for step in range(num_steps)]

    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_a_run_that_was_stopped_counts_its_metrics_as_if_it_had_not_been(tmp_path):
    run(Problem(), tmp_path / "whole", num_steps=50)
    stopped = Problem()
    stopped.stop_at = 30
    with pytest.raises(Stopped):
        run(stopped, tmp_path / "parts", num_steps=50)
    run(Problem(), tmp_path / "parts", num_steps=50)

    whole, parts = (
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("whole", "parts")
    )
    assert parts["loss"] == pytest.approx(whole["loss"], abs=1e-4)

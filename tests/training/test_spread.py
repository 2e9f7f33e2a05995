"""What is trained lies in parts on two processes, and nothing else is different.

Run as a program, this file is what each of the two does.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator, DistributedType
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor

from diekae_rag.errors import TrainingError
from diekae_rag.training.checkpoints import newest_checkpoint, saved_progress
from diekae_rag.training.launching import end_process, leave_processes
from diekae_rag.training.loop import default_accelerator, train
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.zero import check_deepspeed

NUM_STEPS, STOPPED_AT = 6, 5
ENGINES = {  # with the optimizers that each is tried with
    "fsdp": (["--use_fsdp", "--fsdp_version", "2"], ["adamw", "muon"]),
    "zero-1": (["--use_deepspeed", "--zero_stage", "1"], ["adamw"]),
    "zero-2": (["--use_deepspeed", "--zero_stage", "2"], ["adamw"]),
}
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None,
    reason='deepspeed is not installed: pip install "diekae-rag[deepspeed]"',
)


class Stopped(Exception):
    """Stands for a kill."""


@dataclass
class Numbers:
    """A batch of a small regression."""

    inputs: torch.Tensor
    is_spoiled: bool = False
    num_tokens: int = 8

    def to(self, device):
        return Numbers(self.inputs.to(device), self.is_spoiled)


class Regression(nn.Module):
    """Matrices in blocks, and weights outside of them, of sizes that two does not divide."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(*shape) for shape in ((6, 7), (7, 5)))
        self.head = nn.Linear(5, 1)

    def forward(self, batch):
        hidden = batch.inputs
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        loss = (self.head(hidden) - batch.inputs.sum(1, keepdim=True)).square().mean()
        if batch.is_spoiled:
            loss = loss + (0.0 * hidden.sum()).sqrt()  # nothing, with a gradient that is no number
        return loss, {"error": loss.detach()}


def numbers(seed, **options):
    generator = torch.Generator().manual_seed(seed)
    return Numbers(torch.randn(8, 6, generator=generator), **options)


def run(folder, optimizer, accelerator, *, draw=lambda n, _: numbers(n), accumulated=1, losses=()):
    """Trains anew or goes on; each process draws what one alone would draw.

    ``losses`` stand for those of an evaluation, which runs what is trained as a real one does.
    """
    problem, world, values = Regression(), accelerator.num_processes, iter(losses)
    schedule = Schedule(
        NUM_STEPS, 1e-2, warmup_steps=3, max_grad_norm=0.5, optimizer=optimizer,
        gradient_accumulation_steps=accumulated,
    )  # fmt: skip
    train(
        "toy", problem, lambda number: draw(number // world, problem), schedule, folder,
        accelerator=accelerator, checkpoint_every=2, show_progress=False, evaluate_every=2,
        evaluate=(lambda: next(values) + 0.0 * error(problem)) if losses else None,
    )  # fmt: skip
    return problem


def error(problem):
    with torch.no_grad():
        return float(problem(numbers(1_000))[0])


def run_and_stop(folder, optimizer, accelerator):
    """Trains until it is stopped, after the checkpoint of step 4."""

    def draw(number, _):
        if number == STOPPED_AT:
            raise Stopped
        return numbers(number)

    with pytest.raises(Stopped):
        run(folder, optimizer, accelerator, draw=draw)


def held(problem, accelerator):
    """How many numbers of what is split lie with this process."""
    engine = getattr(accelerator, "deepspeed_engine_wrapped", None)
    if engine is None:
        return sum(p.to_local().numel() for p in problem.parameters() if isinstance(p, DTensor))
    states = engine.engine.optimizer.optimizer.state.values()
    return sum(values["exp_avg"].numel() for values in states)


def leave_results(folder: Path, optimizer: str, accelerator: Accelerator) -> None:
    """Leaves weights to compare, and what lay where."""
    facts: dict = {"engine": str(accelerator.distributed_type)}

    def watched(number, problem):
        facts["held"] = held(problem, accelerator)
        return numbers(number)

    def spoiled(number, _):
        return numbers(number, is_spoiled=number == STOPPED_AT)

    results = {"whole": run(folder / "whole", optimizer, accelerator, draw=watched)}
    run_and_stop(folder / "parts", optimizer, accelerator)
    results["parts"] = run(folder / "parts", optimizer, accelerator)
    results["from_one"] = run(folder / "from_one", optimizer, accelerator)
    results["accumulated"] = run(folder / "accumulated", optimizer, accelerator, accumulated=2)
    results["best"] = run(folder / "best", optimizer, accelerator, losses=(2.0, 1.0, 3.0))
    run_and_stop(folder / "to_one", optimizer, accelerator)
    with pytest.raises(TrainingError, match=f"the gradient is .* at step {STOPPED_AT}"):
        run(folder / "spoiled", optimizer, accelerator, draw=spoiled)
    index = accelerator.process_index
    for name, problem in results.items():
        save_file(weights_of(problem), folder / f"{name}-{index}.safetensors")
        facts[name] = sorted({type(x).__name__ for x in (problem, *problem.parameters())})
    (folder / f"facts-{index}.json").write_text(json.dumps(facts))


def weights_of(problem):
    return {name: p.detach() for name, p in problem.named_parameters()}


@dataclass
class Launched:
    """What two processes left, and the weights of one that did the same."""

    folder: Path
    optimizer: str
    alone: dict
    accumulated: dict

    def weights(self, name, index=0):
        return load_file(self.folder / f"{name}-{index}.safetensors")

    def facts(self, index):
        return json.loads((self.folder / f"facts-{index}.json").read_text())

    def assert_close(self, weights, others):
        """Muon computes in bfloat16, whose sums depend on their order."""
        atol = 2e-3 if self.optimizer == "muon" else 1e-6
        torch.testing.assert_close(weights, others, atol=atol, rtol=0)


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Runs this file on two processes, once for all optimizers of an engine."""

    @cache
    def launch(engine):
        (flags, optimizers), folder = ENGINES[engine], tmp_path_factory.mktemp("spread")
        left = {each: run_alone(folder / each, each) for each in optimizers}
        arguments = ["-m", "accelerate.commands.launch", *flags, "--num_processes", "2",
                     "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                     "--main_process_port", "0", __file__, str(folder), *optimizers]  # fmt: skip
        result = subprocess.run(
            [sys.executable, *arguments], check=False, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, result.stderr[-5_000:]
        return left

    return launch


def run_alone(folder, optimizer):
    """What one process leaves, for two to go on with and to be compared to."""
    accelerator = default_accelerator(cpu=True)
    run_and_stop(folder / "from_one", optimizer, accelerator)
    alone = weights_of(run(folder / "alone", optimizer, accelerator))
    accumulated = run(folder / "alone, accumulated", optimizer, accelerator, accumulated=2)
    return Launched(folder, optimizer, alone, weights_of(accumulated))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("fsdp", "adamw"), id="fsdp"),
        pytest.param(("fsdp", "muon"), id="fsdp-muon"),
        pytest.param(("zero-1", "adamw"), id="zero-1", marks=needs_deepspeed),
        pytest.param(("zero-2", "adamw"), id="zero-2", marks=needs_deepspeed),
    ],
)
def launched(request, launch):
    """What two processes left with an engine and an optimizer."""
    engine, optimizer = request.param
    return launch(engine)[optimizer]


def test_two_processes_that_share_what_is_trained_end_where_one_does(launched):
    for index in range(2):
        launched.assert_close(launched.weights("whole", index), launched.alone)
    launched.assert_close(launched.weights("accumulated"), launched.accumulated)


def test_each_process_holds_a_part_while_it_trains_and_everything_afterwards(launched):
    num_weights = sum(weight.numel() for weight in launched.alone.values())
    parts = [launched.facts(index)["held"] for index in range(2)]

    assert launched.facts(0)["engine"].rpartition(".")[2] in ("FSDP", "DEEPSPEED")
    assert max(parts) < 0.7 * num_weights
    assert num_weights <= sum(parts) < num_weights + 4  # ends of flat parts are filled up
    assert launched.facts(0)["whole"] == ["Parameter", "Regression"]


def test_a_spread_run_that_was_stopped_ends_with_the_same_weights(launched):
    whole, parts = launched.weights("whole"), launched.weights("parts")

    assert all(torch.equal(parts[name], weight) for name, weight in whole.items())


def test_two_processes_go_on_with_what_one_saved_and_one_with_what_two_saved(launched):
    accelerator = default_accelerator(cpu=True)
    to_one = run(launched.folder / "to_one", launched.optimizer, accelerator)

    launched.assert_close(launched.weights("from_one"), launched.alone)
    launched.assert_close(weights_of(to_one), launched.alone)


def test_a_spread_checkpoint_holds_whole_weights_and_no_pickle(launched):
    place = newest_checkpoint(launched.folder / "whole")

    names = {path.name for path in place.iterdir()}
    assert names == {"weights.safetensors", "optimizer.safetensors", "progress.json"}
    saved, left = load_file(place / "weights.safetensors"), launched.weights("whole")
    assert all(torch.equal(saved[name], weight) for name, weight in left.items())


def test_the_best_weights_of_a_spread_run_are_put_back(launched):
    place = newest_checkpoint(launched.folder / "best" / "best")

    assert place.name == "step-00000004"
    saved, left = load_file(place / "weights.safetensors"), launched.weights("best")
    assert all(torch.equal(saved[name], weight) for name, weight in left.items())


def test_a_gradient_that_is_no_number_stops_a_spread_run_before_it_is_saved(launched):
    assert saved_progress(launched.folder / "spoiled")["step"] == 4


def test_the_first_version_of_fsdp_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")

    with pytest.raises(ValueError, match="--fsdp_version 2"):
        default_accelerator(cpu=True)


def test_another_engine_is_refused(tmp_path, monkeypatch):
    accelerator = default_accelerator(cpu=True)
    monkeypatch.setattr(type(accelerator), "distributed_type", DistributedType.MEGATRON_LM)

    with pytest.raises(ValueError, match="MEGATRON_LM"):
        run(tmp_path, "adamw", accelerator)


@pytest.mark.parametrize(
    ("config", "optimizer", "message"),
    [
        ({"zero_optimization": {"stage": 2}}, "muon", "--optimizer adamw"),
        ({"zero_optimization": {"stage": 3}}, "adamw", "--use_fsdp"),
        ({"zero_optimization": {"stage": 0}}, "adamw", "--zero_stage 2"),
        ({"zero_optimization": {"stage": 2}, "fp16": {"enabled": True}}, "adamw", "bf16"),
        (
            {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}},
            "adamw",
            "offload_optimizer",
        ),
    ],
    ids=["muon", "stage 3", "stage 0", "fp16", "offloading"],
)
def test_what_deepspeed_cannot_do_here_is_refused(config, optimizer, message):
    with pytest.raises(ValueError, match=message):
        check_deepspeed(config, Schedule(1, 1e-3, optimizer=optimizer))


if __name__ == "__main__":
    both = default_accelerator(cpu=True)
    for name in sys.argv[2:]:
        leave_results(Path(sys.argv[1]) / name, name, both)
    leave_processes()
    end_process()

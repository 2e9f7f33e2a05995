"""The arms of the benchmark do the same work, and say what it came to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rich.console import Console

from diekae_rag.bench.arms import ARMS
from diekae_rag.bench.report import ARM_NAMES, benchmark
from diekae_rag.bench.setting import Setting
from diekae_rag.bench.tables import benchmark_tables
from diekae_rag.bench.worker import measure
from diekae_rag.bench.workload import build_workload

SETTING = Setting(
    "tiny", knowledge_tokens=9, prompt_tokens=4, answer_tokens=3, batch_size=2, steps=1,
    dtype="float32", device="cpu",
)  # fmt: skip


@pytest.fixture
def gradients():
    """Loss and gradients of an arm's first step."""

    def take(name, setting=SETTING):
        arm = ARMS[name](build_workload(setting))
        loss, _ = arm.objective(arm.draw())
        loss.backward()
        return loss.detach(), {n: p.grad for n, p in arm.trained.items() if p.grad is not None}

    return take


def test_the_arms_named_without_a_model_library_are_those_there_are():
    assert tuple(ARMS) == ARM_NAMES


def test_lora_begins_with_the_loss_that_full_training_begins_with(gradients):
    torch.testing.assert_close(gradients("LoRA")[0], gradients("full")[0])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")
def test_checkpointing_changes_memory_and_no_gradient(gradients):
    loss, plain = gradients("full")
    same_loss, checkpointed = gradients("full", replace(SETTING, gradient_checkpointing=True))
    torch.testing.assert_close(same_loss, loss)
    torch.testing.assert_close(checkpointed, plain)


def test_every_arm_and_every_goal_is_in_the_table_for_people():
    wanted = ["distill (differences)", "distill (dumped targets)", "LoRA"]
    said = []
    report = benchmark(SETTING, arms=wanted, rounds=1, measure=measure, on_step=said.append)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(benchmark_tables(report))
    shown = capture.get()
    assert all(name in shown for name in [*wanted, "its dump, once", "1/7.0", "1/3.0", "1/20.0"])
    assert len(said) == 2 * len(wanted)


def test_an_arm_that_does_not_fit_is_a_line_in_the_table():
    missing = {"fits": False, "needed_bytes": 3 * 2**30, "available_bytes": 2**30}
    report = benchmark(SETTING, arms=["full"], rounds=1, measure=lambda *_: missing)
    console = Console(width=160)
    with console.capture() as capture:
        console.print(benchmark_tables(report))
    assert "does not fit: 3.00 GiB of 1.00" in capture.get()

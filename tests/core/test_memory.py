"""Memory is measured from where the watch begins."""

from __future__ import annotations

import pytest
import torch

from diekae_rag.memory import PeakMemory

CPU = torch.device("cpu")


def resets(memory):
    """Skips where a process's peak cannot be forgotten."""
    if memory.measured_by != "resident":
        pytest.skip("this system does not tell a process's peak")
    return memory


def test_memory_freed_before_the_end_counts_and_what_was_held_before_does_not():
    held = torch.ones(64 << 18)  # 64 MiB
    memory = resets(PeakMemory(CPU))
    torch.ones(32 << 18).sum().item()
    assert 30 << 20 < memory.above < 60 << 20
    assert memory.peak > held.nbytes + memory.above


def test_a_later_watch_does_not_inherit_an_earlier_peak():
    first = resets(PeakMemory(CPU))
    torch.ones(64 << 18).sum().item()
    large = first.above
    assert PeakMemory(CPU).above < large / 4
    first.restart()
    assert first.above < large / 4

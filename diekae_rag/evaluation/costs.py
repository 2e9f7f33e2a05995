"""What answering costs: seconds one question at a time, and memory for several at once."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from diekae_rag.data.records import Record
from diekae_rag.evaluation.arms import Arm
from diekae_rag.evaluation.training_costs import read_training_cost
from diekae_rag.memory import PeakMemory

__all__ = ["measure_costs", "training_costs"]


def measure_costs(arm: Arm, records: Sequence[Record], max_new_tokens: int) -> dict[str, Any]:
    """Answers some questions one by one, and then all at once; without retrieval.

    The first is asked once more beforehand, so that no arm pays for a cold start. Medians, so that
    neither does one for what else the machine happened to do.

    Args:
        arm: Who answers.
        records: The questions; where there are none, nothing is measured.
        max_new_tokens: Most tokens of an answer.

    Returns:
        ``seconds_to_first_token`` and ``seconds_per_question``; ``peak_memory_bytes`` above the
        weights while all of them are answered in one batch, and ``memory_measured_by``.
    """
    if not records:
        return dict.fromkeys(
            ("seconds_to_first_token", "seconds_per_question", "peak_memory_bytes")
        ) | {"memory_measured_by": "nothing"}
    usages = [
        arm.model.generate(
            record.prompt, record.passages, arm.mode, max_new_tokens=max_new_tokens
        ).usage
        for record in [records[0], *records]
    ][1:]
    memory = PeakMemory(arm.model.device)
    arm.model.generate(
        [record.prompt for record in records],
        [record.passages for record in records],
        arm.mode,
        max_new_tokens=max_new_tokens,
        batch_size=len(records),
    )
    return {
        "seconds_to_first_token": statistics.median(u.seconds_to_first_token for u in usages),
        "seconds_per_question": statistics.median(usage.total_seconds for usage in usages),
        "peak_memory_bytes": memory.above,
        "memory_measured_by": memory.measured_by,
    }


def training_costs(arm: Arm) -> dict[str, Any]:
    """How many weights were trained, and what the run wrote down about it, ``None`` if nothing."""
    cost = read_training_cost(arm.folder)
    return {
        "trainable_weights": cost.get("trainable_weights", arm.trainable_weights),
        "training_seconds": cost.get("seconds"),
        "training_peak_memory_bytes": cost.get("peak_memory_bytes"),
    }

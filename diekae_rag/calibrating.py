"""``mode="auto"``: measured once for a model on a device, and looked up from then on."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diekae_rag.answers import Mode
from diekae_rag.calibration import WAYS, Calibration
from diekae_rag.errors import DiekaeError
from diekae_rag.locations import cache_folder
from diekae_rag.passages import Passage
from diekae_rag.progress import progress_bars
from diekae_rag.states.kept import KeptStates

if TYPE_CHECKING:
    from diekae_rag.model import DiekaeModel

__all__ = ["KNOWLEDGE_TOKENS", "calibrate", "calibration_file", "load_calibration"]

KNOWLEDGE_TOKENS = (16, 32, 64, 128, 256, 512)


@torch.no_grad()
def calibrate(
    model: DiekaeModel,
    *,
    knowledge_tokens: Sequence[int] = KNOWLEDGE_TOKENS,
    prompt: str = "What is said about this, and where does it say so?",
    rounds: int = 5,
    show_progress: bool = False,
) -> Calibration:
    """Measures the first token, stuffed, injected and from kept states, in turn, round after round.

    Args:
        model: Whose times these are. Its ``states`` are set aside meanwhile.
        knowledge_tokens: Of how much knowledge; what its window cannot hold is left out.
        prompt: What is asked.
        rounds: How often each is measured, after one that does not count; medians are taken.
        show_progress: Draw a progress bar on stderr.

    Raises:
        DiekaeError: Not even the least knowledge fits.
    """
    had, kept = model.states, model.keep_states()
    measured: dict[int, dict[str, float]] = {}
    try:
        with progress_bars(show_progress) as progress:
            for about in progress.track(sorted(knowledge_tokens), description="calibrating"):
                passages = _passages(model, about)
                request = model.prepare(prompt, passages, "stuff", 1, warns=False)
                if not request.truncated_tokens:
                    times = _times(model, kept, prompt, passages, rounds)
                    measured[request.knowledge_tokens] = times
    finally:
        model.states = had
    if not measured:
        raise DiekaeError(
            f"the base model's window of {model.window} positions holds no knowledge to measure."
        )
    tokens = tuple(sorted(measured))
    by_way = {way: tuple(measured[count][way] for count in tokens) for way in WAYS}
    return Calibration(_where(model), tokens, **by_way)


def _times(
    model: DiekaeModel, kept: KeptStates, prompt: str, passages: Sequence[Passage], rounds: int
) -> dict[str, float]:
    """Median seconds to the first token, each way; the first round does not count."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds + 1):
        for way in WAYS:
            model.states = kept if way == "kept" else None
            mode: Mode = "stuff" if way == "stuffed" else "inject"
            began = time.perf_counter()
            model.generate(prompt, passages, mode, max_new_tokens=1)
            seconds[way].append(time.perf_counter() - began)
    return {way: statistics.median(times[1:]) for way, times in seconds.items()}


def calibration_file(model: DiekaeModel) -> Path:
    """Where the calibration of a model on this device is kept."""
    key = "-".join([model.fingerprint, *_where(model).replace(",", "").split()]).replace("/", "-")
    return cache_folder() / "calibrations" / f"{key}.json"


def load_calibration(model: DiekaeModel) -> Calibration:
    """What was measured for a model on this device.

    Raises:
        DiekaeError: Nothing was, or it cannot be read.
    """
    path = calibration_file(model)
    if not path.exists():
        raise DiekaeError(
            'mode="auto" chooses by what is faster on this device, which was not measured yet; '
            "measure it once: model.calibrate(), or diekae bench calibrate."
        )
    return Calibration.load(path)


def _where(model: DiekaeModel) -> str:
    device = model.device
    name = f"cpu of {os.cpu_count()} cores"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return f"{name}, {str(model.base.dtype).removeprefix('torch.')}"


def _passages(model: DiekaeModel, num_tokens: int) -> list[Passage]:
    """Passages of about so many tokens, none longer than encoders read."""
    longest = max(1, model.encoders.config.max_passage_tokens - 16)
    texts: list[str] = []
    left = num_tokens
    while left > 0:
        count = min(left, longest)
        ids = [100 + (7 * len(texts) + 3 * at) % 50 for at in range(count)]
        texts.append(str(model.tokenizer.decode(ids)) or "a")
        left -= count
    return [Passage(text) for text in texts]

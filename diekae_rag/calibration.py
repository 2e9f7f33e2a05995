"""What the first token takes each way, by the tokens of knowledge, and which way is faster."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from diekae_rag.answers import Mode
from diekae_rag.errors import DiekaeError
from diekae_rag.files import write_json

__all__ = ["WAYS", "Calibration"]

WAYS = ("stuffed", "injected", "kept")


@dataclass(frozen=True, slots=True)
class Calibration:
    """How long the first token takes, by the tokens of knowledge, each way.

    Args:
        where: Device, precision and threads it was measured with.
        tokens: Tokens of knowledge, ascending.
        stuffed: Seconds to the first token, passages in the prompt; one for each of ``tokens``.
        injected: The same, passages read by the encoders.
        kept: The same, read before and kept.

    Example:
        >>> times = {"stuffed": (1.0, 2.0, 4.0), "injected": (1.5,) * 3, "kept": (1.2,) * 3}
        >>> calibration = Calibration("a CPU", (32, 64, 128), **times)
        >>> calibration.break_even(), calibration.choose(40)[0], calibration.choose(100)[0]
        (48, 'stuff', 'inject')
    """

    where: str
    tokens: tuple[int, ...]
    stuffed: tuple[float, ...]
    injected: tuple[float, ...]
    kept: tuple[float, ...]

    def seconds(self, way: str, knowledge_tokens: int) -> float:
        """What a way is expected to take: between what was measured, and on beyond it.

        Args:
            way: ``"stuffed"``, ``"injected"`` or ``"kept"``.
            knowledge_tokens: How many tokens of knowledge there are.
        """
        times: Sequence[float] = getattr(self, way)
        if knowledge_tokens <= self.tokens[-1] or len(times) < 2:
            return float(np.interp(knowledge_tokens, self.tokens, times))
        rate = (times[-1] - times[-2]) / (self.tokens[-1] - self.tokens[-2])
        return times[-1] + max(0.0, rate) * (knowledge_tokens - self.tokens[-1])

    def break_even(self, way: str = "injected") -> int | None:
        """From how many tokens of knowledge on a way is as fast as stuffing; ``None``: from none.

        Args:
            way: ``"injected"`` or ``"kept"``.
        """
        last = 2 * self.tokens[-1]
        slower = [n for n in range(1, last) if self.seconds(way, n) > self.seconds("stuffed", n)]
        count = slower[-1] + 1 if slower else 1
        return count if count < last else None

    def choose(self, knowledge_tokens: int, *, is_kept: bool = False) -> tuple[Mode, str]:
        """The faster mode for so much knowledge, and why.

        Args:
            knowledge_tokens: How many tokens the encoders would read.
            is_kept: Whether their states are kept, so that they need not be read.
        """
        way = "kept" if is_kept else "injected"
        inject, stuff = (
            self.seconds(way, knowledge_tokens),
            self.seconds("stuffed", knowledge_tokens),
        )
        mode: Mode = "inject" if inject <= stuff else "stuff"
        return mode, (
            f"{knowledge_tokens} tokens of knowledge: about {1e3 * inject:.1f} ms to the first "
            f"token {way}, {1e3 * stuff:.1f} ms stuffed ({self.where})"
        )

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what ``save`` wrote.

        Raises:
            DiekaeError: It is something else.
        """
        try:
            said: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            times = {way: tuple(map(float, said[way])) for way in WAYS}
            read = cls(str(said["where"]), tuple(map(int, said["tokens"])), **times)
            if not read.tokens or any(len(t) != len(read.tokens) for t in times.values()):
                raise ValueError("of another length than its tokens")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DiekaeError(
                f"{path} is no calibration ({error}); delete it and calibrate again: "
                "model.calibrate(), or diekae bench calibrate."
            ) from error
        return read

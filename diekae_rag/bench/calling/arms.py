"""One call, from a question to the first token, and where its seconds went."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from diekae_rag.answers import Mode, Usage
from diekae_rag.bench.answering.by_hand import wait_for
from diekae_rag.bench.stopwatch import Stopwatch
from diekae_rag.index import PassageIndex
from diekae_rag.model import DiekaeModel
from diekae_rag.states.kept import KeptStates

__all__ = ["MODES_OF_ARMS", "PARTS", "Call", "ask"]

PARTS = ("embed", "search", "fetch", "prepare", "states", "encoders", "base")
"""In the order in which they happen. ``embed``: the question to its vector. ``search``: the vectors
compared. ``fetch``: the passages found, out of SQLite. ``prepare``: wording, tokens, and what
``generate`` does around the models. ``states``: encoders read the passages, or their states are
read, and joined. ``encoders``: they read the prompt. ``base``: the base model reads its own, and
the first token is chosen."""

MODES_OF_ARMS: Mapping[str, Mode] = {
    "none": "none",
    "stuffed": "stuff",
    "injected": "inject",
    "injected, kept states": "inject",
    "injected, kept in int8": "inject",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Args:
        parts: The seconds of each of ``PARTS``; together all of ``seconds``.
        seconds: From the question to the first token.
        found: Ids of what was found.
        usage: What the answer says of itself.
        text: The answer.
    """

    parts: dict[str, float]
    seconds: float
    found: list[str]
    usage: Usage
    text: str


def ask(
    index: PassageIndex,
    model: DiekaeModel,
    question: str,
    k: int,
    mode: Mode,
    clock: Stopwatch,
    kept: KeptStates | None = None,
) -> Call:
    """Searches and answers as anybody would, with one token; then sees where the time went.

    What fetching took is seen by getting the same passages once more, after the call: a search
    does not tell it apart.

    Args:
        index: Where to search; its embedder runs the same stopwatch.
        model: Who answers.
        question: What is asked, and searched for.
        k: How many passages to find.
        mode: Which way they go; with ``"none"`` nothing is searched.
        clock: The embedder's, and for now the encoders'.
        kept: What was read before.
    """
    clock.take()
    model.states = kept
    try:
        with _timed(model.encoders, clock):
            began = time.perf_counter()
            passages = [] if mode == "none" else index.search(question, k)
            found_at = time.perf_counter()
            answer = model.generate(question, passages, mode, max_new_tokens=1)
            ended = time.perf_counter()
    finally:
        model.states = None
    own, usage = clock.take(), answer.usage
    embed, encoders = own.get("embed", 0.0), own.get("encoders", 0.0)
    ids = [passage.id for passage in passages]
    finding = found_at - began - embed
    fetch = min(_fetching(index, ids), finding)
    after = usage.total_seconds - usage.encoding_seconds - usage.prefill_seconds
    seconds = ended - began - after
    parts = {
        "embed": embed,
        "search": finding - fetch,
        "fetch": fetch,
        "prepare": ended - found_at - usage.total_seconds,
        "states": usage.encoding_seconds,
        "encoders": encoders,
        "base": usage.prefill_seconds - encoders,
    }
    return Call(parts, seconds, ids, usage, answer.text)


def _fetching(index: PassageIndex, ids: list[str]) -> float:
    began = time.perf_counter()
    if ids:
        index.get(ids)
    return time.perf_counter() - began


@contextmanager
def _timed(encoders: nn.Module, clock: Stopwatch) -> Iterator[None]:
    """Within it, what encoders read of a prompt is the part ``encoders``."""
    device = next(encoders.parameters()).device

    def begin(*_: object) -> None:
        wait_for(device)
        clock.begin("encoders")

    def end(*_: object) -> None:
        wait_for(device)
        clock.end()

    hooks = [encoders.register_forward_pre_hook(begin), encoders.register_forward_hook(end)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

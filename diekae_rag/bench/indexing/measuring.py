"""An index built, its passages read and kept, and all of it opened again: what each part takes."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from diekae_rag.bench.answering.by_hand import wait_for
from diekae_rag.bench.answering.summary import spread
from diekae_rag.bench.answering.worker import model_size
from diekae_rag.bench.answering.workload import Answerer, build_answerer
from diekae_rag.bench.indexing.setting import OWN, IndexSetting
from diekae_rag.bench.machine import describe_machine
from diekae_rag.bench.stopwatch import Stopwatch, with_the_rest
from diekae_rag.bench.timed import TimedEmbedder, TimedReader, timed_states
from diekae_rag.files import STATES_FILE
from diekae_rag.index import PassageIndex
from diekae_rag.states.coding import StateDtype

__all__ = ["measure_index"]

_ONCE = 8  # passages that are read before anything is counted, and those that a cache is made of
_Round = dict[str, dict[str, Any]]


def measure_index(
    setting: IndexSetting, on_step: Callable[[str], object] = lambda step: None
) -> dict[str, Any]:
    """Builds the same index round after round, each time in a new folder.

    Files that were just written are read from memory when they are opened again; the encoders'
    weights are hashed as a new process has to, to know whose states these are.

    Args:
        setting: The workload.
        on_step: Told what is about to run.

    Returns:
        JSON values: ``index`` (``parts``: ``embed``, ``add`` to FAISS and SQLite, ``save``, and
        ``other``; ``bytes`` of each file), ``states`` (precision -> ``parts``: ``open``,
        ``tokenize``, ``encode``, ``write`` and ``other``; ``bytes``; ``reopen`` with the parts
        ``index`` and ``states``), each with ``seconds``, all as medians with their ends;
        ``prefix_cache``, what the base model's own reading of a passage takes and keeps;
        ``knowledge_tokens`` that the encoders read, ``base``, ``encoders``, ``machine``.

    Raises:
        RuntimeError: An index that was opened again lacked states.
    """
    answerer = build_answerer(setting.for_answers())
    rng = random.Random(0)
    texts = answerer.draw_passages(rng, [setting.passage_tokens] * setting.num_passages)
    bench = _Bench(setting, answerer)
    on_step("once: some passages")
    bench.run(texts[:_ONCE], lambda step: None)
    rounds = []
    for number in range(1, setting.rounds + 1):

        def tell(step: str, number: int = number) -> None:
            on_step(f"round {number} of {setting.rounds}: {step}")

        rounds.append(bench.run(texts, tell))
    first = rounds[0]
    states = {}
    for name in setting.state_dtypes:
        reopened = [one[name]["reopen"] for one in rounds]
        written = {key: first[name][key] for key in ("bytes", "dtype")}
        states[name] = {
            **_spreads([one[name] for one in rounds]),
            **written,
            "reopen": _spreads(reopened),
        }
    return {
        "knowledge_tokens": first["index"]["tokens"],
        "index": {
            **_spreads([one["index"] for one in rounds]),
            "bytes": first["index"]["bytes"],
        },
        "states": states,
        "prefix_cache": {
            **_spreads([one["prefix_cache"] for one in rounds]),
            **{key: first["prefix_cache"][key] for key in ("tokens", "bytes")},
        },
        "base": model_size(answerer.bare),
        "encoders": model_size(answerer.model.encoders),
        "machine": describe_machine(answerer.model.device),
    }


class _Bench:
    """What every round uses again."""

    def __init__(self, setting: IndexSetting, answerer: Answerer) -> None:
        self.setting, self.answerer, self.clock = setting, answerer, Stopwatch()
        device = answerer.model.device
        self.embedder = TimedEmbedder(setting.embedder, device.type, self.clock)
        self.reader = TimedReader(answerer.model, self.clock)

    def run(self, texts: Sequence[str], on_step: Callable[[str], object]) -> _Round:
        """One round."""
        clock = self.clock
        with TemporaryDirectory() as name:
            folder = Path(name) / "index"
            on_step("index")
            clock.take()
            began = time.perf_counter()
            index = PassageIndex(self.embedder)
            with clock.part("add"):
                index.add(texts)
            with clock.part("save"):
                index.save(folder)
            seconds = time.perf_counter() - began
            sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
            measured: _Round = {
                "index": {**_timed(clock.take(), seconds), "bytes": sizes},
            }
            for dtype in self.setting.state_dtypes:
                on_step(f"states, {dtype}")
                measured[dtype] = self._keep(index, folder, dtype)
                on_step(f"opening again, {dtype}")
                measured[dtype]["reopen"] = self._reopen(folder, dtype)
        measured["index"]["tokens"] = measured[self.setting.state_dtypes[0]]["tokens"]
        on_step("prefix cache")
        rows = self.reader.tokenize(texts[:_ONCE])
        clock.take()
        measured["prefix_cache"] = _cache(self.answerer.bare, rows)
        return measured

    def _keep(self, index: PassageIndex, folder: Path, dtype: str) -> dict[str, Any]:
        """Reads every passage and writes its states beside the index."""
        clock, reader, path = self.clock, self.reader, folder / STATES_FILE
        path.unlink(missing_ok=True)
        before = reader.tokens_read
        forget_fingerprint(reader.encoders)
        began = time.perf_counter()
        with clock.part("open"):
            kept = timed_states(reader, path, _precision(dtype))
        # Not by ``follow``: this index goes on to others.
        kept.add(index)
        seconds = time.perf_counter() - began
        assert kept.file is not None
        return {
            **_timed(clock.take(), seconds),
            "tokens": reader.tokens_read - before,
            "bytes": path.stat().st_size,
            "dtype": kept.file.code.dtype,
        }

    def _reopen(self, folder: Path, dtype: str) -> dict[str, Any]:
        """What a new process does before its first question, but for loading models."""
        clock, model = self.clock, self.answerer.model
        forget_fingerprint(model.encoders)
        began = time.perf_counter()
        with clock.part("index"):
            opened = PassageIndex.load(folder, takes_vectors=True)
        with clock.part("states"):
            kept = model.keep_states(folder, dtype=_precision(dtype))
            num_read = kept.follow(opened)
        seconds = time.perf_counter() - began
        model.states = None
        if num_read:
            raise RuntimeError(f"{num_read} passages of an index had no states, and all were kept.")
        return _timed(clock.take(), seconds)


@torch.no_grad()
def forget_fingerprint(encoders: nn.Module) -> None:
    """Has the next who asks whose states these are hash all weights, as in a new process."""
    next(encoders.parameters()).mul_(1)


@torch.no_grad()
def _cache(bare: PreTrainedModel, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The base model reads passages, each for a cache of its own."""
    tokens = size = 0
    device: Any = bare.device
    began = time.perf_counter()
    for row in rows:
        cache, ids = DynamicCache(config=bare.config), torch.tensor([row], device=device)
        with warnings.catch_warnings():  # transformers is giving the cache another name
            warnings.simplefilter("ignore", FutureWarning)
            bare.get_decoder()(input_ids=ids, past_key_values=cache, use_cache=True)
        wait_for(ids.device)
        layers: list[Any] = list(cache.layers)
        size += sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        tokens += len(row)
    seconds = time.perf_counter() - began
    return {**_timed({}, seconds), "tokens": tokens, "bytes": size}


def _precision(dtype: str) -> StateDtype | None:
    return None if dtype == OWN else cast("StateDtype", dtype)


def _timed(parts: dict[str, float], seconds: float) -> dict[str, Any]:
    return {"parts": with_the_rest(parts, seconds), "seconds": seconds}


def _spreads(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Seconds, all and in parts, as medians with their ends."""
    parts = rounds[0]["parts"]
    return {
        "seconds": spread([one["seconds"] for one in rounds]),
        "parts": {name: spread([one["parts"][name] for one in rounds]) for name in parts},
    }

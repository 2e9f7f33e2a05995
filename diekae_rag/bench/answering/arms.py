"""What is measured: ways to answer the same prompts, each ready to be run again and again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from diekae_rag.answers import Mode
from diekae_rag.bench.answering.by_hand import Timed, generate_by_hand, wait_for
from diekae_rag.bench.answering.loop import as_one, in_a_loop
from diekae_rag.bench.answering.workload import Asked
from diekae_rag.files import STATES_FILE
from diekae_rag.model import DiekaeModel
from diekae_rag.passages import as_passages
from diekae_rag.requests import Request, pad_left
from diekae_rag.states.coding import StateDtype
from diekae_rag.states.kept import KeptStates, state_code

__all__ = ["ARMS", "AnswerArm"]

_Encode = Callable[[DiekaeModel, Sequence[Request]], Mapping[int, Tensor]]


@dataclass(frozen=True, slots=True)
class AnswerArm:
    """One way to answer.

    Args:
        run: Answers all rows; called in every round.
        prepare: Work done once, before any question, and timed apart.
        tokens_read: Tokens of the longest row that the base model has in its cache before it
            answers.
        kept_bytes: What is kept of each token of the passages while answering.
    """

    run: Callable[[], Timed]
    prepare: Callable[[], None] | None = None
    tokens_read: int = 0
    kept_bytes: float = 0.0


def of_mode(asked: Asked, mode: Mode) -> AnswerArm:
    """Our ``generate``, in one of its modes: from texts to texts."""
    requests = asked.requests(mode)
    new_tokens, batch_size = asked.setting.new_tokens, len(asked.prompts)

    def run() -> Timed:
        began = time.perf_counter()
        answers = asked.model.generate(
            asked.prompts, asked.passages, mode, max_new_tokens=new_tokens, batch_size=batch_size
        )
        seconds = time.perf_counter() - began
        usage = answers[0].usage
        after_first = usage.total_seconds - usage.encoding_seconds - usage.prefill_seconds
        return Timed(
            seconds - after_first,
            seconds,
            [answer.usage.new_tokens for answer in answers],
            [answer.text for answer in answers],
        )

    kept = 0.0
    if mode in ("stuff", "combine"):
        kept += _cached_bytes(asked)
    if mode in ("inject", "combine"):
        kept += _state_bytes(asked)
    return AnswerArm(run, None, _longest(requests), kept)


def kept_states(asked: Asked, dtype: StateDtype | None = None) -> AnswerArm:
    """Injected, the passages read once: their states come from a file."""
    plain, model = of_mode(asked, "inject"), asked.model
    folder = TemporaryDirectory()  # gone with the last run that reads it
    states: list[KeptStates] = []

    def prepare() -> None:
        states.clear()
        (Path(folder.name) / STATES_FILE).unlink(missing_ok=True)
        kept = model.keep_states(folder.name, dtype=dtype, max_bytes=0)
        kept.add(passage for row in asked.passages for passage in as_passages(row))
        model.states = None
        states.append(kept)

    def run() -> Timed:
        model.states = states[0]
        try:
            return plain.run()
        finally:
            model.states = None

    code = state_code(model.encoders, dtype)
    return AnswerArm(run, prepare, plain.tokens_read, 4 + code.num_bytes(1))


def bare(asked: Asked) -> AnswerArm:
    """The base model's own ``generate`` of the prompts, by hand and without hooks of ours."""
    tokenizer, worded = asked.model.tokenizer, asked.model.wording.prompt

    def run() -> Timed:
        began = time.perf_counter()
        texts = [worded.replace("{prompt}", prompt) for prompt in asked.prompts]
        ids, mask = pad_left(tokenizer(texts).input_ids)
        return generate_by_hand(asked, ids, mask, began)

    return AnswerArm(run, None, _longest(asked.requests("none")))


def prefix_cache(asked: Asked) -> AnswerArm:
    """Stuffed, the passages read once: each question goes on from a copy of that cache."""
    requests = asked.requests("stuff")
    ids, mask = pad_left([request.input_ids for request in requests])
    # Up to where the longest question begins, no column depends on a question.
    shared = ids.shape[1] - max(r.is_prompt[::-1].index(False) for r in requests)
    read: list[DynamicCache] = []

    @torch.no_grad()
    def prepare() -> None:
        read.clear()  # never two at once
        cache, device = DynamicCache(config=asked.bare.config), asked.model.device
        before = mask[:, :shared].long().to(device)
        asked.bare.get_decoder()(
            input_ids=ids[:, :shared].to(device),
            attention_mask=before,
            position_ids=(before.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
        )
        read.append(cache)

    def run() -> Timed:
        began = time.perf_counter()
        return generate_by_hand(asked, ids, mask, began, past_key_values=copy.deepcopy(read[0]))

    return AnswerArm(run, prepare, _longest(requests), _cached_bytes(asked))


def encoders_only(asked: Asked, encode: _Encode) -> AnswerArm:
    """The encoders' part of a cold injection; of the base model, its embeddings."""
    requests = asked.requests("inject")

    def run() -> Timed:
        began = time.perf_counter()
        encode(asked.model, requests)
        wait_for(asked.model.device)
        seconds = time.perf_counter() - began
        return Timed(seconds, seconds, [], [])

    return AnswerArm(run, None, 0, 0.0)


def _longest(requests: Sequence[Request]) -> int:
    return max(len(request.input_ids) for request in requests)


@torch.no_grad()
def _cached_bytes(asked: Asked) -> float:
    """Bytes of one token in the base model's cache."""
    cache, device = DynamicCache(config=asked.bare.config), asked.model.device
    ids = torch.zeros(1, 1, dtype=torch.long, device=device)
    asked.bare.get_decoder()(input_ids=ids, past_key_values=cache, use_cache=True)
    layers: list[Any] = list(cache.layers)
    return float(sum(layer.keys.nbytes + layer.values.nbytes for layer in layers))


@torch.no_grad()
def _state_bytes(asked: Asked) -> float:
    """Bytes of one token in the encoders' states."""
    states = asked.model.encode([[0]])
    return float(states.keys.nbytes + states.values.nbytes)


ARMS: Mapping[str, Callable[[Asked], AnswerArm]] = {
    "none": partial(of_mode, mode="none"),
    "base": bare,
    "stuffed": partial(of_mode, mode="stuff"),
    "stuffed, prefix cache": prefix_cache,
    "injected": partial(of_mode, mode="inject"),
    "injected, kept states": kept_states,
    "injected, kept in int8": partial(kept_states, dtype="int8"),
    "combined": partial(of_mode, mode="combine"),
    "six as one": partial(encoders_only, encode=as_one),
    "six in a loop": partial(encoders_only, encode=in_a_loop),
}
"""Every arm by name. ``injected`` is cold: its passages are encoded in the call; kept, they were
read before, and what is kept of a token is its states and its id. The last two are
encoders alone, ours and as first published; six where a model's depth allows it."""

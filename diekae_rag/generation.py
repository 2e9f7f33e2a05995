"""How an answer is generated: the options that can be honoured, and what a row ends up as."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteriaList

from diekae_rag.answers import FinishReason
from diekae_rag.prompting import Wording, decode
from diekae_rag.stopping import Watch, check_stop, stop_tokens, trim_at_stop

__all__ = ["GenerationOptions", "answer_tokens", "end_tokens", "finish_row"]

_COUNTS = ("max_new_tokens", "num_beams", "num_return_sequences", "batch_size")
_LIMITS = ("top_k", "prefill_chunk_size", "prompt_lookup_num_tokens")
_OWN = {"max_new_tokens", "num_beams", "num_return_sequences", "use_cache", "transformers_version"}
_NEUTRAL = {"length_penalty": 1.0, "early_stopping": False}
_DRAWING = threading.Lock()  # torch draws from one generator for the whole process


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """What ``generate`` and ``stream`` take besides prompt, passages and mode.

    Args:
        max_new_tokens: Most tokens to generate, at least 1.
        stop: Strings that end the answer, of any length; the answer ends before them.
        temperature: 0 is greedy; above, tokens are drawn.
        top_p: Draw from the likeliest tokens that make up this share.
        top_k: Draw from this many of the likeliest.
        seed: Makes drawing repeatable, as long as no other code draws from torch's generator
            meanwhile; afterwards that generator is where it was. The same list of prompts draws the
            same; with others in the list or another ``batch_size``, a prompt may draw otherwise.
        num_beams: Beam search with this many beams.
        num_return_sequences: Answers per prompt.
        repetition_penalty: Above 1 makes repeating less likely.
        use_cache: Whether to keep what was read; without, everything is read at every token.
        cache_implementation: ``"dynamic"`` or ``"static"``.
        prefill_chunk_size: Read the prompt in pieces of this many tokens.
        prompt_lookup_num_tokens: Guess this many tokens from the prompt and verify them at once.
        batch_size: Most prompts that are run side by side; those of like length are.
        attribute: Whether to find out what each passage contributed to the answer: see
            ``Answer.attribution``. What it costs is in ``usage``.

    Raises:
        TypeError: A value of another type.
        ValueError: A value, or two together, that cannot be.
    """

    max_new_tokens: int = 64
    stop: list[str] = field(default_factory=list)
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    num_beams: int = 1
    num_return_sequences: int = 1
    repetition_penalty: float | None = None
    use_cache: bool = True
    cache_implementation: str | None = None
    prefill_chunk_size: int | None = None
    prompt_lookup_num_tokens: int | None = None
    batch_size: int = 32
    attribute: bool = False

    def __post_init__(self) -> None:
        for name in (*_COUNTS, *_LIMITS, "seed"):
            value = getattr(self, name)
            if value is None and name not in _COUNTS:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, got {value!r}.")
            if name != "seed" and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if self.seed is not None and not -(2**63) <= self.seed < 2**64:
            raise ValueError(f"seed must be from -2**63 to 2**64 - 1, got {self.seed}.")
        for name in ("temperature", "top_p", "repetition_penalty"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise TypeError(f"{name} must be a number, got {value!r}.")
        if not isinstance(self.attribute, bool):
            raise TypeError(f"attribute must be True or False, got {self.attribute!r}.")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 (greedy) or above, got {self.temperature}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}.")
        if self.repetition_penalty is not None and not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty must be above 0, got {self.repetition_penalty}.")
        if self.prompt_lookup_num_tokens is not None and self.num_beams > 1:
            raise ValueError("prompt_lookup_num_tokens and num_beams cannot go together.")
        if self.prompt_lookup_num_tokens is not None and not self.use_cache:
            raise ValueError(
                "prompt_lookup_num_tokens takes guesses back out of the cache: use_cache=False "
                "leaves none."
            )
        if self.prompt_lookup_num_tokens is not None and self.num_return_sequences > 1:
            raise ValueError("prompt_lookup_num_tokens gives one answer to a prompt.")
        if self.prompt_lookup_num_tokens is not None and self.cache_implementation == "static":
            raise ValueError(
                "prompt_lookup_num_tokens guesses beyond the end of a static cache; use a dynamic "
                "one."
            )
        if not self.use_cache and (self.cache_implementation or self.prefill_chunk_size):
            raise ValueError(
                "cache_implementation and prefill_chunk_size say how to cache: they need use_cache."
            )
        if 1 < self.num_beams < self.num_return_sequences:
            raise ValueError(
                f"num_return_sequences must be at most num_beams={self.num_beams}, "
                f"got {self.num_return_sequences}."
            )
        if self.temperature == 0 and (self.top_p is not None or self.top_k is not None):
            raise ValueError("top_p and top_k choose what to draw from: set a temperature too.")
        if self.cache_implementation not in (None, "dynamic", "static"):
            raise ValueError(
                "cache_implementation must be dynamic or static, "
                f"got {self.cache_implementation!r}."
            )
        if (
            self.num_return_sequences > 1
            and self.temperature == 0
            and (self.num_beams < self.num_return_sequences)
        ):
            raise ValueError(
                "several answers to a prompt need a temperature, or as many beams as answers."
            )

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> GenerationOptions:
        """Reads options as a caller gave them; ``None`` is the default.

        Raises:
            TypeError: An option that does not exist: none is swallowed.

        Example:
            >>> GenerationOptions.read({"stop": "END"}).stop
            ['END']
        """
        known = {item.name for item in fields(cls)}
        if unknown := set(options) - known:
            raise TypeError(f"unknown option(s) {sorted(unknown)}; there are {sorted(known)}.")
        given = {name: value for name, value in options.items() if value is not None}
        return cls(**{**given, "stop": check_stop(given.get("stop"))})

    def for_batch(self, first: int) -> GenerationOptions:
        """The same for the batch that begins with prompt ``first``: it must not draw alike."""
        if self.seed is None or first == 0:
            return self
        return replace(self, seed=(self.seed + first * 0x9E3779B97F4A7C15) % (1 << 63))

    def run(
        self,
        base: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        input_ids: Tensor,
        attention_mask: Tensor,
        watch: Watch,
    ) -> Tensor:
        """Calls the base model's own ``generate``; gives prompt and new tokens, ``[B, T]``."""
        sampling: dict[str, Any] = {"do_sample": self.temperature > 0}
        sampling["temperature"] = float(self.temperature) if self.temperature > 0 else None
        sampling["top_p"], sampling["top_k"] = self.top_p, self.top_k
        optional = {
            name: getattr(self, name)
            for name in ("cache_implementation", "prefill_chunk_size", "prompt_lookup_num_tokens")
            if getattr(self, name) is not None
        }
        if self.repetition_penalty is not None:
            optional["repetition_penalty"] = float(self.repetition_penalty)
        pad, ends = tokenizer.pad_token_id, end_tokens(tokenizer, base, self.stop)
        seeded = self.seed is not None
        devices = [input_ids.device] if input_ids.device.type == "cuda" else []
        with (
            _DRAWING if self.temperature > 0 else nullcontext(),
            torch.random.fork_rng(devices) if seeded else nullcontext(),
        ):
            if self.seed is not None:
                torch.manual_seed(self.seed)
            generate: Any = base.generate
            output = generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                max_new_tokens=self.max_new_tokens,
                num_beams=self.num_beams,
                num_return_sequences=self.num_return_sequences,
                use_cache=self.use_cache,
                pad_token_id=pad if pad is not None else (ends or [0])[0],
                eos_token_id=ends or None,
                stopping_criteria=StoppingCriteriaList([watch]),
                disable_compile=True,
                **{**_taken_back(base), **sampling, **optional},
            )
        tokens: Tensor = output if isinstance(output, Tensor) else output.sequences
        return tokens


def _taken_back(base: PreTrainedModel) -> dict[str, Any]:
    """What undoes the generation settings that a base model brings along; its tokens stay."""
    own = cast(Any, base.generation_config).to_dict()
    return {
        name: _NEUTRAL.get(name)
        for name, value in own.items()
        if value is not None and name not in _OWN and not name.endswith("_token_id")
    }


def end_tokens(
    tokenizer: PreTrainedTokenizerBase, base: PreTrainedModel, stops: Sequence[str] = ()
) -> list[int]:
    """What ends a sequence: the base model's own choice, or else its tokenizer's; and ``stops``.

    Raises:
        ValueError: A stop string has a special token inside.
    """
    ends = getattr(base.generation_config, "eos_token_id", None)
    ends = ends if ends is not None else tokenizer.eos_token_id
    own = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
    return own + stop_tokens(tokenizer, stops)


def finish_row(
    row: list[int],
    tokenizer: PreTrainedTokenizerBase,
    base: PreTrainedModel,
    wording: Wording,
    stops: Sequence[str],
) -> tuple[str, int, FinishReason]:
    """From one row's new ids to its text, how many tokens it took, and why it ended."""
    ends = set(end_tokens(tokenizer, base, stops))
    length = next((at for at, token in enumerate(row) if token in ends), None)
    ids = row if length is None else row[:length]
    text = wording.read_answer(decode(tokenizer, ids))
    text, stopped = trim_at_stop(text, stops)
    if stopped:
        used = next(
            count
            for count in range(1, len(ids) + 1)
            if trim_at_stop(wording.read_answer(decode(tokenizer, ids[:count])), stops)[1]
        )
        return text, used, "stop"
    if length is not None:
        return text, length + 1, "stop"
    return text, len(row), "length"


def answer_tokens(
    row: list[int],
    text: str,
    new_tokens: int,
    tokenizer: PreTrainedTokenizerBase,
    wording: Wording,
    ends: Sequence[int],
) -> list[int]:
    """The ids that are an answer's own, of one row's new ids.

    A token that ends it (an end of sequence, or a special token given as a stop) is one of them; of
    a stop string only what cannot be parted from the answer's last token.

    Args:
        row: The new ids.
        text: The answer, as ``finish_row`` gave it.
        new_tokens: How many it took, stop string and all.
        tokenizer: The base model's.
        wording: What stands before an answer.
        ends: What ends a sequence, as ``end_tokens`` gave it.
    """
    used = row[:new_tokens]
    if used and used[-1] in ends:
        return used

    def read(count: int) -> str:
        return wording.read_answer(decode(tokenizer, used[:count]))

    if read(len(used)) == text:
        return used
    covering = (count for count in range(len(used)) if read(count).startswith(text))
    return used[: next(covering, len(used))]

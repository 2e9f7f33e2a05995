"""One batch through encoders and base model: from what is read to answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from diekae_rag.answers import Answer, Usage
from diekae_rag.attribution import attribute
from diekae_rag.batching import Batch
from diekae_rag.generation import answer_tokens, end_tokens, finish_row
from diekae_rag.requests import pad_left
from diekae_rag.stopping import Watch

if TYPE_CHECKING:
    from diekae_rag.injected import InjectedModel

__all__ = ["answer_batch"]


@torch.no_grad()
def answer_batch(
    model: InjectedModel,
    batch: Batch,
    on_start: Callable[[Watch], None] | None = None,
    on_answer: Callable[[int, Answer], None] | None = None,
) -> list[Answer]:
    """Answers the prompts of a batch.

    Args:
        model: Who answers.
        batch: What is read.
        on_start: Called before anything is read, with what can end it.
        on_answer: Called with each row and its answer as soon as the row has ended, from within
            the generation. Beams end together, and answers that are attributed come one by one
            after it. Only for one answer to a prompt.

    Returns:
        The answers, ``num_return_sequences`` to each prompt. Times are those of the batch, or with
        ``on_answer``, what each row took.
    """
    settings = batch.settings
    ids, mask = pad_left([request.input_ids for request in batch.requests])
    read, _ = pad_left([request.is_prompt for request in batch.requests])
    device = model.device
    watch = Watch(
        model.tokenizer,
        model.wording_of(batch.requests[0].is_worded),
        ids.shape[1],
        settings.stop,
        ends=end_tokens(model.tokenizer, model.base, settings.stop),
    )
    if on_start is not None:
        on_start(watch)
    rows = _Rows(model, batch, watch)
    if on_answer is not None and settings.num_beams == 1 and not settings.prompt_lookup_num_tokens:
        watch.on_row = rows.note if settings.attribute else rows.telling(on_answer)
    with model.turn(watch) as is_wanted:
        if not is_wanted:
            usage = Usage(finish_reason="cancelled")
            return [
                Answer("", list(r.passages), usage, batch.mode, edits=list(r.edits))
                for r in batch.requests
            ]
        rows.began = time.perf_counter()
        with model.injecting(batch.requests, read.bool(), batch.mode) as rows.reused:
            _wait_for(device)
            rows.encoded = time.perf_counter()
            output = settings.run(
                model.base, model.tokenizer, ids.to(device), mask.long().to(device), watch
            )
        rows.ended = time.perf_counter()
    for row, new in enumerate(output[:, ids.shape[1] :].tolist()):
        if row not in rows.answers:
            answer = rows.finish(row, new)
            rows.answers[row] = rows.attribute(row, new, answer) if settings.attribute else answer
            if on_answer is not None and not watch.cancelled.is_set():
                on_answer(row, rows.answers[row])
    return [rows.answers[row] for row in sorted(rows.answers)]


class _Rows:
    """The rows of a batch that runs: when each ended, and what its answer is."""

    def __init__(self, model: InjectedModel, batch: Batch, watch: Watch) -> None:
        self.model, self.batch, self.watch = model, batch, watch
        self.began = self.encoded = self.ended = 0.0
        self.reused: list[int] = []
        self.answers: dict[int, Answer] = {}
        self._ended: dict[int, float] = {}

    def note(self, row: int, new: list[int]) -> None:
        """Notes that a row has ended just now."""
        self._ended[row] = time.perf_counter()

    def telling(self, on_answer: Callable[[int, Answer], None]) -> Callable[[int, list[int]], None]:
        """As ``note``, and its answer goes to ``on_answer``."""

        def tell(row: int, new: list[int]) -> None:
            self.note(row, new)
            self.answers[row] = self.finish(row, new)
            on_answer(row, self.answers[row])

        return tell

    def finish(self, row: int, new: list[int]) -> Answer:
        """The answer of a row that has ended, given its new ids."""
        batch, watch = self.batch, self.watch
        of_prompt = row // batch.settings.num_return_sequences
        request = batch.requests[of_prompt]
        ended = self._ended.get(row, self.ended)
        text, new_tokens, reason = finish_row(
            new, self.model.tokenizer, self.model.base, watch.wording, batch.settings.stop
        )
        usage = Usage(
            prompt_tokens=len(request.input_ids),
            knowledge_tokens=request.knowledge_tokens,
            knowledge_tokens_kept_out=request.knowledge_tokens if batch.mode == "inject" else 0,
            knowledge_tokens_from_kept_states=self.reused[of_prompt],
            new_tokens=new_tokens,
            truncated_tokens=request.truncated_tokens,
            dropped_passages=request.dropped_passages,
            encoding_seconds=self.encoded - self.began,
            prefill_seconds=(watch.first_token_at or ended) - self.encoded,
            total_seconds=ended - self.began,
            finish_reason="cancelled" if watch.cancelled.is_set() else reason,
            mode_reason=request.mode_reason,
        )
        return Answer(text, list(request.passages), usage, batch.mode, edits=list(request.edits))

    def attribute(self, row: int, new: list[int], answer: Answer) -> Answer:
        """The answer with what each passage contributed, where anybody still waits for it."""
        model, settings = self.model, self.batch.settings
        request = self.batch.requests[row // settings.num_return_sequences]
        own = answer_tokens(
            new,
            answer.text,
            answer.usage.new_tokens,
            model.tokenizer,
            self.watch.wording,
            self.watch.ends,
        )
        with model.turn(self.watch) as is_wanted:
            if not is_wanted:
                return answer
            began = time.perf_counter()
            found, read = attribute(model, request, own, answer.mode, settings.max_new_tokens)
            seconds = time.perf_counter() - began
        usage = replace(answer.usage, attribution_seconds=seconds, attribution_tokens=read)
        return replace(answer, attribution=found, usage=usage)


def _wait_for(device: torch.device) -> None:
    """Lets an accelerator finish, so that times are those of the work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

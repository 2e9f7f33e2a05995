"""Answers to many prompts, each as soon as it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from diekae_rag.answering import answer_batch
from diekae_rag.answers import Answer
from diekae_rag.batching import Batch
from diekae_rag.worker import Ended, Reading, Worker

if TYPE_CHECKING:
    from diekae_rag.injected import InjectedModel

__all__ = ["Completions"]


class Completions(Reading[tuple[int, Answer]]):
    """Numbers of prompts with their answers, in the order in which those are complete.

    ``close`` (or leaving a ``with`` block, or dropping this) stops the generation and waits for it
    to end. An error in the generation is raised after what was complete by then.

    Args:
        model: Who answers.
        batches: What is run, one after the other.
    """

    def __init__(self, model: InjectedModel, batches: Sequence[Batch]) -> None:
        self._worker = Worker(partial(_run, model, batches))

    def __next__(self) -> tuple[int, Answer]:
        worker = self._worker
        if worker.closed.is_set():
            raise StopIteration
        piece = worker.pieces.get()
        if not isinstance(piece, Ended):
            number, answer = piece
            return number, answer
        worker.thread.join()
        worker.closed.set()
        if piece.error is not None:
            raise piece.error
        raise StopIteration


def _run(model: InjectedModel, batches: Sequence[Batch], worker: Worker) -> None:
    for batch in batches:
        if worker.closed.is_set():
            return

        def say(row: int, answer: Answer, numbers: Sequence[int] = batch.numbers) -> None:
            worker.pieces.put((numbers[row], answer))

        answer_batch(model, batch, worker.begin, say)

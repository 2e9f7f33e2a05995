"""What a prompt may attend to: passages read by the encoders, or read before and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.encoders import Encoders
from diekae_rag.families import input_embeddings
from diekae_rag.folding import FoldedEmbedding
from diekae_rag.prompting import start_tokens
from diekae_rag.requests import Request, cut_passages
from diekae_rag.states.fingerprint import fingerprint
from diekae_rag.states.kept import KeptStates
from diekae_rag.states.knowledge import Knowledge, KnowledgeApart
from diekae_rag.states.tensors import PassageStates

__all__ = ["PassageReader", "read_knowledge"]

_EDITS_BESIDE_PASSAGES = 4  # times; with 2 passages won more often, with 8 they were read less
_MOST_ON_CPU, _MOST_ON_ACCELERATORS = 1 << 12, 1 << 17  # tokens in a pass, padding counted, times E


class PassageReader:
    """Encoders, with the embeddings and the tokenizer of the base model that they read with.

    Args:
        base: The base model; nothing of it but its embeddings runs.
        encoders: The encoders.
        tokenizer: The base model's.
    """

    def __init__(
        self, base: PreTrainedModel, encoders: Encoders, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        self.encoders, self._embed, self.tokenizer = encoders, input_embeddings(base), tokenizer
        self._begin = FoldedEmbedding(self._embed, encoders)

    @property
    def fingerprint(self) -> str:
        """Tells what is read with from all else that would read otherwise."""
        return fingerprint(self.encoders, self._embed.weight, self.tokenizer)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """What encoders read of each passage by itself: as worded, and cut where it is too long."""
        config, start = self.encoders.config, start_tokens(self.tokenizer)
        rows: list[list[int]] = []
        for first in range(0, len(texts), config.max_passages):
            some = texts[first : first + config.max_passages]
            rows += [start + row for row in cut_passages(some, self.tokenizer, config)]
        return rows

    def encode(
        self, texts: Sequence[Sequence[int]], after: PassageStates | None = None
    ) -> PassageStates:
        """The encoders' states of tokenized passages, each read alone.

        Args:
            texts: The token ids of each.
            after: The states of what comes before the only text; it is read on from there.
        """
        longest = max(map(len, texts), default=0)
        ids = torch.tensor([[*text] + [0] * (longest - len(text)) for text in texts])
        mask = torch.tensor([[t < len(text) for t in range(longest)] for text in texts])
        shape = (len(texts), longest)
        begun = self._begin(ids.view(shape).long())
        return self.encoders.encode_begun(begun, mask.view(shape).bool().to(begun.device), after)

    def encode_apart(self, texts: Sequence[Sequence[int]]) -> list[PassageStates]:
        """As ``encode``, each text's states by itself, unpadded; in as many passes as is best."""
        states: dict[int, PassageStates] = {}
        for batch in self.batches(texts):
            read = self.encode([texts[number] for number in batch]).apart()
            states.update(zip(batch, read, strict=True))
        return [states[number] for number in range(len(texts))]

    def batches(self, texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Which texts to read in one pass, shortest first: those of like length, and not too many.

        More at once would only take more memory, and on a CPU more time.
        """
        most = _MOST_ON_CPU if self.encoders.device.type == "cpu" else _MOST_ON_ACCELERATORS
        most //= self.encoders.config.num_bodies
        batch: list[int] = []
        for number in sorted(range(len(texts)), key=lambda number: len(texts[number])):
            if batch and len(texts[number]) * (len(batch) + 1) > most:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch


def read_knowledge(
    reader: PassageReader, kept: KeptStates | None, requests: Sequence[Request], room: int = 0
) -> tuple[Knowledge | KnowledgeApart, list[int]]:
    """What each row may attend to; the same text is read once for all rows, if at all.

    Beside other passages, an edit that is read alone is there several times, which gives it so many
    times the weight in every attention: it has to outweigh what says otherwise.

    Args:
        reader: Who reads.
        kept: What was read before.
        requests: A row each; one at least has knowledge.
        room: How many positions to leave free behind it.

    Returns:
        It, and for each row how many of its knowledge tokens were not read again.
    """
    config = reader.encoders.config
    is_joint = config.passage_attention == "joint"
    texts: dict[tuple[int, ...], str | None] = {}
    for request in requests:
        for number, text in enumerate(map(tuple, request.knowledge)):
            texts[text] = None if is_joint else request.passages[number].text
    if kept is None:
        states, reused = reader.encode_apart(list(texts)), [0] * len(texts)
    else:
        states, reused = kept.read(list(texts), list(texts.values()))
    by_text = dict(zip(texts, zip(states, reused, strict=True), strict=True))
    rows = [[by_text[tuple(text)] for text in request.knowledge] for request in requests]
    times = [1 if is_joint else _times_edits_are_read(request) for request in requests]
    attended = [
        [states for n, (states, _) in enumerate(row) for _ in range(t if n < r.num_edits else 1)]
        for r, row, t in zip(requests, rows, times, strict=True)
    ]
    start = len(start_tokens(reader.tokenizer))
    starts = [
        sum(map(len, request.knowledge)) if is_joint else config.max_passage_tokens
        for request in requests
    ]
    knowledge = KnowledgeApart.of(attended, starts, room)
    # Read at the prompt only, it is read once: each block is then laid together in its turn.
    known = knowledge if config.positions == "prompt" else knowledge.joined()
    return known, [sum(max(0, count - start) for _, count in row) for row in rows]


def _times_edits_are_read(request: Request) -> int:
    return _EDITS_BESIDE_PASSAGES if len(request.passages) > request.num_edits else 1

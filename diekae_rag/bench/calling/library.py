"""An index of passages, and questions that each find passages of their own in it.

Axes: N passages, Q questions, D vector size.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diekae_rag.bench.answering.workload import Answerer
from diekae_rag.bench.calling.setting import CallSetting
from diekae_rag.bench.search import draw_vectors
from diekae_rag.index import Embedder, Entry, PassageIndex
from diekae_rag.passages import Passage

__all__ = ["Library", "build_library"]

_NEAR = 0.05  # how long the noise is that lies between a question's vector and a passage's


@dataclass(frozen=True, slots=True)
class Library:
    """What is asked, and of what.

    Args:
        index: Opened from a folder, as it is used.
        questions: One for each round, and the first to warm up.
        findable: The passages that they find.
    """

    index: PassageIndex
    questions: list[str]
    findable: list[Passage]


def build_library(
    setting: CallSetting, answerer: Answerer, embedder: Embedder, folder: Path
) -> Library:
    """Saves an index and opens it again.

    The vectors of passages that a question finds lie around its own; the others' are drawn, so that
    a large index is there soon. The texts of those are some few over and over: nobody reads them.

    Args:
        setting: The workload.
        answerer: Whose tokens are counted.
        embedder: What the questions are embedded with.
        folder: Where the index is saved.
    """
    rng = random.Random(0)
    questions = [answerer.draw(rng, setting.question_tokens) for _ in range(setting.rounds + 1)]
    count = setting.k * len(questions)
    texts = answerer.draw_passages(rng, [setting.passage_tokens] * (count + 1))
    findable = [Passage(text, id=f"found {n}") for n, text in enumerate(texts[1:])]
    size = setting.index_size - count
    vectors = draw_vectors(
        size, size, embedder.embed(questions[:1]).shape[1], "clustered", seed=0, part=0
    )
    vectors[0] = embedder.embed(texts[:1])[0]  # which the index holds against its embedder
    entries = [
        Entry(Passage(texts[n % len(texts)], id=f"other {n}"), vector=vector)
        for n, vector in enumerate(vectors)
    ]
    near = _around(embedder.embed(questions), setting.k)
    entries += [Entry(p, vector=v) for p, v in zip(findable, near, strict=True)]
    index = PassageIndex(embedder)
    index.add_entries(entries)
    index.save(folder)
    return Library(PassageIndex.load(folder, embedder), questions, findable)


def _around(vectors: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """``k`` vectors near each of ``[Q, D]``: ``[Q * k, D]``, of length 1."""
    centres = np.repeat(vectors, k, axis=0)
    noise = np.random.default_rng(0).standard_normal(centres.shape, dtype=np.float32)
    near: NDArray[np.float32] = centres + _NEAR * noise / np.linalg.norm(
        noise, axis=1, keepdims=True
    )
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    return near

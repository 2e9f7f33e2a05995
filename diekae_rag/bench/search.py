"""What finding passages costs: every passage compared, and what an index of that size chooses.

Axes: N passages, Q questions, D vector size.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from diekae_rag.bench.machine import describe_machine
from diekae_rag.files import write_json
from diekae_rag.index import Entry, GivenVectors, PassageIndex
from diekae_rag.index.vectors import EXACT_UP_TO
from diekae_rag.passages import Passage

__all__ = ["draw_vectors", "measure_search"]

Data = Literal["clustered", "overlapping", "uniform"]
Vectors = NDArray[np.float32]

_PER_CENTRE = 200
_OVERLAPPING_SIZE = 24
_AT_ONCE = 100_000
_ALWAYS_EXACT = 2**62


def measure_search(
    sizes: Sequence[int] = (10_000, 100_000, 1_000_000),
    *,
    data: Data = "clustered",
    vector_size: int = 384,
    k: int = 5,
    num_questions: int = 100,
    exact_up_to: int = EXACT_UP_TO,
    seed: int = 0,
    output: Path | None = None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Builds indexes of given vectors and asks each one question at a time.

    Passages are added 100,000 at a time, so that building covers what an index that grows does
    again. Above ``exact_up_to`` passages the same index is also built exact, one after the other,
    and what that finds is the truth.

    Args:
        sizes: Passages in each index.
        data: As ``draw_vectors``.
        vector_size: D.
        k: Passages for each question.
        num_questions: Q.
        exact_up_to: As for ``PassageIndex``.
        seed: Of the vectors.
        output: Write the report here after each size; sizes that are in it, measured with the same
            setting on the same machine, are not measured again.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``sizes`` (size -> ``flat`` and, where the index chooses something
        else, ``chosen`` -> ``build_seconds``, ``search_seconds`` with median, min and max,
        ``recall``, ``bytes``, ``search_info``), ``setting``, ``goal`` and ``machine``.
    """
    setting = {
        "data": data,
        "vector_size": vector_size,
        "k": k,
        "num_questions": num_questions,
        "exact_up_to": exact_up_to,
        "seed": seed,
    }
    report: dict[str, Any] = {
        "sizes": {},
        "setting": setting,
        "goal": {"search_seconds": 0.005, "recall": 0.95},
        "machine": describe_machine(torch.device("cpu")),
    }
    known = _read(output)
    if all(known.get(key) == report[key] for key in ("setting", "machine")):
        report["sizes"] = known["sizes"]
    for size in sizes:
        if str(size) in report["sizes"]:
            continue
        questions = draw_vectors(num_questions, size, vector_size, data, seed, part=-1)
        arms = {"flat": _ALWAYS_EXACT}
        if size > exact_up_to:
            arms["chosen"] = exact_up_to
        measured, truth = {}, None
        for name, most in arms.items():
            parts = _parts(size, vector_size, data, seed)
            measured[name], found = _measure(parts, questions, k, most, show_progress)
            truth = truth or found
            measured[name]["recall"] = _recall(found, truth)
        report["sizes"][str(size)] = measured
        if output is not None:
            write_json(output, report)
    return report


def draw_vectors(
    count: int, size: int, vector_size: int, data: Data, seed: int, part: int
) -> Vectors:
    """Draws vectors of length 1: a part of an index's, or (part -1) questions about it.

    ``clustered`` vectors resemble embeddings as far as it matters here: a random centre, one for
    200 passages, plus noise of the same length, so that two vectors around a centre have a cosine
    of about a half and others about none. ``overlapping`` ones are the same in 24 dimensions that
    lie among the D, so that centres are close to one another, as topics are, and cells cut through
    what is near. ``uniform`` ones have no structure at all: the hard case, in which all passages
    are about equally far.

    Returns:
        ``[count, D]``.

    Example:
        >>> draw_vectors(3, 1000, 8, "clustered", seed=0, part=0).shape
        (3, 8)
    """
    random = np.random.default_rng([seed, part + 3])
    everywhere = np.random.default_rng([seed, 1])
    drawn_size = min(_OVERLAPPING_SIZE, vector_size) if data == "overlapping" else vector_size
    vectors = random.standard_normal((count, drawn_size), dtype=np.float32)
    if data != "uniform":
        num_centres = max(size // _PER_CENTRE, 1)
        centres = everywhere.standard_normal((num_centres, drawn_size), dtype=np.float32)
        vectors += centres[random.integers(num_centres, size=count)]
    if data == "overlapping":
        vectors = vectors @ everywhere.standard_normal((drawn_size, vector_size), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _parts(size: int, vector_size: int, data: Data, seed: int) -> Iterator[Vectors]:
    for part, start in enumerate(range(0, size, _AT_ONCE)):
        yield draw_vectors(min(_AT_ONCE, size - start), size, vector_size, data, seed, part)


def _measure(
    parts: Iterable[Vectors], questions: Vectors, k: int, exact_up_to: int, show_progress: bool
) -> tuple[dict[str, Any], list[set[str]]]:
    gc.collect()
    before, build_seconds = _resident_bytes(), 0.0
    index = PassageIndex(GivenVectors(), exact_up_to=exact_up_to)
    for vectors in parts:
        start = len(index)
        entries = (
            Entry(Passage(f"passage {n}", id=str(n)), vector=vector)
            for n, vector in enumerate(vectors, start)
        )
        began = time.perf_counter()
        index.add_entries(entries, show_progress=show_progress)
        build_seconds += time.perf_counter() - began
    del vectors, entries
    gc.collect()
    taken = _resident_bytes() - before
    index.search_many(list(questions[:3]), k)  # what is made at the first search is made
    seconds, found = [], []
    for question in questions:
        began = time.perf_counter()
        passages = index.search(question, k)
        seconds.append(time.perf_counter() - began)
        found.append({passage.id for passage in passages})
    times = {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
    measured = {
        "build_seconds": build_seconds,
        "search_seconds": times,
        "bytes": taken,
        "search_info": index.search_info,
    }
    return measured, found


def _recall(found: Sequence[set[str]], truth: Sequence[set[str]]) -> float:
    pairs = zip(found, truth, strict=True)
    return statistics.fmean(len(ids & true) / len(true) for ids, true in pairs)


def _resident_bytes() -> int:
    """Memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _read(output: Path | None) -> dict[str, Any]:
    if output is None or not output.exists():
        return {}
    content = json.loads(output.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}

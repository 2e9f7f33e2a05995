"""Invented worlds as records: what a user's own data looks like, in any amount."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from diekae_rag.demo.phases import draw_episodes
from diekae_rag.demo.reader import READER_PHASES
from diekae_rag.demo.worlds import World
from diekae_rag.evaluation.cases import find_cases, index_world
from diekae_rag.files import write_text
from diekae_rag.index import Embedder

__all__ = ["write_records", "write_unseen_records"]


def write_records(path: Path, num_rows: int, seed: int = 0) -> int:
    """Writes prompts, answers and passages of training worlds as JSON Lines.

    Args:
        path: The file.
        num_rows: How many sets of passages; each has several questions.
        seed: Of chance.

    Returns:
        How many records were written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.jsonl"
        >>> count = write_records(path, num_rows=2)
        >>> from diekae_rag.data.records import read_records
        >>> len(read_records(path)) == count
        True
    """
    phase, lines = READER_PHASES[-1], []
    rng = random.Random(f"records:{seed}")
    written = 0
    while written < num_rows:
        for episode in draw_episodes(rng, phase, lambda *_: True)[: num_rows - written]:
            written += 1
            for prompt, answer in episode.questions:
                lines.append(_line(prompt, answer, episode.passages))
    _write(path, lines)
    return len(lines)


def write_unseen_records(
    path: Path,
    num_questions: int,
    seed: int = 1,
    *,
    num_documents: int = 2000,
    k: int = 3,
    has_new_wordings: bool = False,
    embedder: Embedder | str = "minilm",
    show_progress: bool = True,
) -> int:
    """Writes questions about a world that no training saw, each with the passages found for it.

    They are the questions, passages and order of ``diekae eval`` with this seed; an answer that the
    world does not hold is the refusal.

    Args:
        path: The file.
        num_questions: How many.
        seed: Of the world.
        num_documents: Size of the world.
        k: Passages for each question.
        has_new_wordings: Word documents and questions in the ways kept out of training.
        embedder: What finds them.
        show_progress: Draw a progress bar on stderr.

    Returns:
        How many records were written.
    """
    world = World(seed, num_documents, heldout_wordings=has_new_wordings)
    index = index_world(world, embedder, show_progress=show_progress)
    cases = find_cases(index, world.questions(num_questions), k)
    _write(
        path,
        [_line(c.question.text, c.question.answer, [p.text for p in c.passages]) for c in cases],
    )
    return len(cases)


def _line(prompt: str, answer: str, passages: Sequence[str]) -> str:
    record = {"prompt": prompt, "answer": answer, "passages": list(passages)}
    return json.dumps(record, ensure_ascii=False) + "\n"


def _write(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(lines))

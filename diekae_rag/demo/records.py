"""Training worlds as records: what a user's own data looks like, in any amount."""

from __future__ import annotations

import json
import random
from pathlib import Path

from diekae_rag.demo.phases import draw_episodes
from diekae_rag.demo.reader import READER_PHASES
from diekae_rag.files import write_text

__all__ = ["write_records"]


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
                record = {"prompt": prompt, "answer": answer, "passages": list(episode.passages)}
                lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "".join(lines))
    return len(lines)

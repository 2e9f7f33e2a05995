"""What a reader knows, and how it reads held-out edits: shares of answers that are right."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.counterfact.facts import Facts, fact_text
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, Episode, PackedBatch, pack_stuffed

__all__ = ["Recall", "right_answers"]

_CONFIG = DiekaeConfig(wording=DEMO_WORDING.to_dict(), max_passage_tokens=256)


class Recall:
    """Fixed samples of facts, neighbours and held-out edits, and who answers them right.

    An answer is right where each of its tokens, the end included, is the likeliest one after those
    before it: that is what greedy decoding gives.

    Args:
        facts: What is drawn from.
        tokenizer: The reader's.
        num_facts: Facts asked without any passage, and as many neighbours.
        num_edits: Held-out edits, each stated alone before its prompt, a paraphrase of it and a
            neighbour.
        seed: Of the samples.
    """

    def __init__(
        self,
        facts: Facts,
        tokenizer: PreTrainedTokenizerBase,
        *,
        num_facts: int = 500,
        num_edits: int = 300,
        seed: int = 0,
    ) -> None:
        rng = random.Random(seed)
        known = facts.known()
        prompts = {edit.prompt for edit in (*facts.train, *facts.valid)}
        own = [(q, a) for q, a in known.items() if q in prompts]
        others = [(q, a) for q, a in known.items() if q not in prompts]
        edits = rng.sample(facts.valid, min(num_edits, len(facts.valid)))
        stated = [[fact_text(edit.prompt, edit.target_new)] for edit in edits]
        groups: dict[str, list[Episode]] = {
            "facts": _without(rng.sample(own, min(num_facts, len(own)))),
            "neighbours": _without(rng.sample(others, min(num_facts, len(others)))),
            "edits": [
                Episode(p, [(e.prompt, e.target_new)]) for p, e in zip(stated, edits, strict=True)
            ],
            "paraphrases": [
                Episode(p, [(q, e.target_new) for q in e.paraphrase_prompts[:1]])
                for p, e in zip(stated, edits, strict=True)
            ],
            "beside": [
                Episode(p, [(q, known[q]) for q in e.neighborhood_prompts[:1] if q in known])
                for p, e in zip(stated, edits, strict=True)
            ],
        }
        self._batches = {
            name: [
                pack_stuffed(rows[first : first + 64], tokenizer, _CONFIG)
                for first in range(0, len(rows), 64)
            ]
            for name, rows in ((name, [r for r in g if r.questions]) for name, g in groups.items())
        }

    @torch.no_grad()
    def measure(self, reader: PreTrainedModel) -> dict[str, float]:
        """The share of right answers in each group."""
        parts = BaseParts(reader, is_trained=True)
        shares = {}
        for name, batches in self._batches.items():
            right = torch.cat([right_answers(parts, b.to(parts.device)) for b in batches])
            shares[name] = float(right.float().mean())
        return shares

    @staticmethod
    def note(shares: Mapping[str, float], path: Path) -> None:
        """Adds a line to a log."""
        rounded = {name: round(share, 4) for name, share in shares.items()}
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"time": round(time.time()), **rounded}) + "\n")


def right_answers(parts: BaseParts, batch: PackedBatch) -> Tensor:
    """Whether each answer of packed rows is right, ``[answers]`` bool, row by row."""
    answers = (batch.roles == ANSWER)[:, 1:]
    logits = parts.logits(parts.read(batch)[:, :-1][answers])
    is_right = logits.argmax(-1) == batch.input_ids[:, 1:][answers]
    is_first = (answers & (batch.roles != ANSWER)[:, :-1])[answers]
    number = is_first.cumsum(0) - 1
    wrong = torch.zeros(int(is_first.sum()), device=number.device)
    return wrong.index_add(0, number, (~is_right).float()) == 0


def _without(questions: Sequence[tuple[str, str]]) -> list[Episode]:
    rows = range(0, len(questions), 8)
    return [Episode([], list(questions[first : first + 8])) for first in rows]

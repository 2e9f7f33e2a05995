"""One cell measured: an arm with so many edits, asked everything."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diekae_rag.bench.machine import describe_machine
from diekae_rag.counterfact.facts import Facts
from diekae_rag.counterfact.recall import Recall
from diekae_rag.counterfact.table.arms import (
    AsKnowledge,
    EditingArm,
    InContext,
    InWeights,
    Unedited,
)
from diekae_rag.counterfact.table.asking import Edited, ask, forced_texts, next_logits
from diekae_rag.counterfact.table.calls import call_costs, shaped_model
from diekae_rag.counterfact.table.conditions import AFTER
from diekae_rag.counterfact.table.metrics import Reply, figures_of, fluency
from diekae_rag.counterfact.table.questions import Question, Questions
from diekae_rag.counterfact.table.sets import EditSets, draw_sets
from diekae_rag.counterfact.table.setting import CellOfEdits
from diekae_rag.counterfact.table.tuned import Tuned
from diekae_rag.data.sets import EditRecord
from diekae_rag.index.embedder import Embedder
from diekae_rag.model import DiekaeModel
from diekae_rag.training.loop import default_accelerator

__all__ = ["FORCED_TOKENS", "Measurer"]

FORCED_TOKENS = 32
_FORCED_TEXTS = 50
_MOST_TRAINED = 300  # edits of several sets, where each set takes a training of its own


class Measurer:
    """A reader, its encoders and the facts; cells share what they need of them.

    Its cells are made with ``drawn``, which says what it has drawn and for which encoders.

    Args:
        facts: Both splits.
        folder: With ``base`` and ``encoders``.
        embedder: What compares prompts.
        num_unrelated: Unrelated prompts.
        seed: Of what is drawn.
        rounds: Prompts of each kind whose calls are timed.
    """

    def __init__(
        self,
        facts: Facts,
        folder: Path,
        embedder: Embedder,
        *,
        num_unrelated: int = 200,
        seed: int = 0,
        rounds: int = 40,
    ) -> None:
        self.facts, self.folder, self.embedder = facts, folder, embedder
        self.rounds = rounds
        self.model = DiekaeModel.from_pretrained(folder / "encoders")
        draw = {"num_unrelated": num_unrelated, "seed": seed}
        self.sets: EditSets = draw_sets(facts, **draw)
        self.drawn = {**draw, "model": self.model.fingerprint}
        self.questions = Questions(self.sets)
        self.arm = lru_cache(maxsize=None)(self._arm)

    def measure(
        self, cell: CellOfEdits, tell: Callable[[str], object] = lambda step: None
    ) -> dict[str, Any]:
        """Measures one cell.

        Args:
            cell: What to measure.
            tell: Told what is about to run.

        Returns:
            By condition. After adding: what ``figures_of`` says of all sets together; ``seconds``
            to edit one, the median; ``num_sets``; ``num_edits`` of each; ``bit_identical``, the
            share of unrelated prompts; ``fluency``; ``others``, figures of edits that are not held
            out, where there are any; and of the unedited reader ``recall``, what it knows. Else
            what ``AFTER`` says, or ``calls`` and the ``seconds`` of adding. Always ``machine``.
        """
        name = f"{cell.arm}, {cell.count:,} edits, {cell.condition}"
        if cell.condition == "added":
            measured = self._added(cell, lambda step: tell(f"{name}: {step}"))
        else:
            tell(name)
            edits = self.sets.edits[: cell.count]
            with self.arm(cell.arm, cell.steps).edited(edits) as edited:
                if cell.condition == "calls":
                    model = shaped_model(cell.shape) if cell.shape else edited.model
                    own = edited.model.edits
                    costs = call_costs(model, own, self.sets, edits, rounds=self.rounds)
                    measured = {"calls": costs, "seconds": edited.seconds}
                else:
                    asked = self.questions.about(self._held_out(edits)[: cell.num_asked])
                    measured = AFTER[cell.condition](edited, asked)
        return {**measured, "machine": describe_machine(self.model.device)}

    def _added(self, cell: CellOfEdits, tell: Callable[[str], object]) -> dict[str, Any]:
        arm = self.arm(cell.arm, cell.steps)
        unedited = self._unedited_logits  # before anything is edited
        most = min(cell.num_asked, _MOST_TRAINED) if cell.steps else cell.num_asked
        of_sets = self.sets.of(cell.count, min(arm.most_sets, most // cell.count))
        seconds: list[float] = []
        same: list[bool] = []
        texts: list[list[int]] = []
        questions: list[Question] = []
        replies: list[Reply] = []
        others: dict[str, Any] = {}
        for number, edits in enumerate(of_sets):
            tell(f"set {number + 1} of {len(of_sets)}")
            with arm.edited(edits) as edited:
                own = self.questions.about(self._held_out(edits)[: cell.num_asked])
                questions, replies = questions + own, replies + ask(edited, own)
                seconds.append(edited.seconds)
                share = slice(number, None, len(of_sets))
                same += _locality(edited, edits, self.sets.unrelated[share], unedited[share])
                if len(texts) < _FORCED_TEXTS:
                    texts += self._forced(edited, own, -(-_FORCED_TEXTS // len(of_sets)))
                if trained := edits[self.sets.num_held_out :][: cell.num_asked]:
                    asked = self.questions.about(trained)
                    others = {"others": figures_of(asked, ask(edited, asked))}
        return {
            **figures_of(questions, replies),
            **others,
            "seconds": statistics.median(seconds),
            "num_sets": len(of_sets),
            "num_edits": len(of_sets[0]),
            "bit_identical": sum(same) / max(1, len(same)),
            "fluency": fluency(texts),
            **({"recall": self._recall()} if cell.arm == "unedited" else {}),
        }

    def _recall(self) -> dict[str, float]:
        return Recall(self.facts, self.model.tokenizer).measure(self.model.base)

    def _held_out(self, edits: Sequence[EditRecord]) -> Sequence[EditRecord]:
        return edits[: self.sets.num_held_out]

    @cached_property
    def _unedited_logits(self) -> list[Tensor]:
        with self.arm("unedited").edited(()) as unedited:
            return [next_logits(unedited, prompt, []) for prompt in self.sets.unrelated]

    def _forced(self, edited: Edited, asked: Sequence[Question], most: int) -> list[list[int]]:
        own = [question for question in asked if question.kind == "efficacy"][:most]
        told = [edited.tell(question.edit) for question in own]
        return forced_texts(edited, [question.prompt for question in own], told, FORCED_TOKENS)

    def _arm(self, name: str, steps: int = 0) -> EditingArm:
        if name == "unedited":
            return Unedited(self.model)
        if name == "in_context":
            return InContext(self.model)
        if name == "as_knowledge":
            return AsKnowledge(self.model, self.embedder, self.sets.examples)
        if name == "as_knowledge_default":
            return AsKnowledge(self.model, self.embedder)
        if name == "in_weights":
            return InWeights(self.model, self.sets.examples, steps)
        accelerator = default_accelerator(cpu=not torch.cuda.is_available())
        is_lora = name == "lora"
        return Tuned(
            self.folder,
            self.model,
            accelerator,
            is_lora,
            learning_rate=1e-3 if is_lora else 1e-4,
            most_steps=steps,
        )


def _locality(
    edited: Edited, edits: Sequence[EditRecord], prompts: Sequence[str], unedited: Sequence[Tensor]
) -> list[bool]:
    """Of unrelated prompts, whether each one's logits are the unedited model's, bit by bit.

    Where edits go into the prompt, one of them is drawn for each.
    """
    rng = random.Random(0)
    logits = [next_logits(edited, p, edited.tell(rng.choice(edits))) for p in prompts]
    return [torch.equal(*both) for both in zip(logits, unedited, strict=True)]

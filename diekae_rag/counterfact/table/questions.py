"""What is asked about edits: their own prompts, paraphrases, and neighbours that must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from diekae_rag.counterfact.table.sets import EditSets, NamedSubjects
from diekae_rag.data.sets import EditRecord

__all__ = ["KINDS", "Kind", "Question", "Questions"]

Kind = Literal["efficacy", "paraphrase", "neighbourhood"]
KINDS: tuple[Kind, ...] = ("efficacy", "paraphrase", "neighbourhood")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, the answer it should get, and the one it should not.

    Args:
        kind: Which figure it counts for.
        prompt: What is asked.
        wanted: The target that should be answered: an edit's new one, for neighbours the true one.
        other: The target that should be less likely.
        edit: The edit that it is about, or whose neighbour it is.
    """

    kind: Kind
    prompt: str
    wanted: str
    other: str
    edit: EditRecord


class Questions:
    """All that can be asked about the edits of some sets.

    A neighbour is asked where its truth is known and no edit changes it: none of the largest set,
    so that every number of edits is asked the same. An edit changes it if it has the same prompt,
    or if the neighbour names its subject and has its old target for an answer.
    """

    def __init__(self, sets: EditSets) -> None:
        self._known = sets.known
        self._named = NamedSubjects(sets.edits)
        self._prompts = {edit.prompt for edit in sets.edits}

    def about(self, edits: Sequence[EditRecord]) -> list[Question]:
        """What is asked about some of them."""
        asked: list[Question] = []
        for edit in edits:
            new, true = edit.target_new, edit.target_true
            asked.append(Question("efficacy", edit.prompt, new, true, edit))
            asked += [Question("paraphrase", p, new, true, edit) for p in edit.paraphrase_prompts]
            asked += [
                Question("neighbourhood", prompt, true, new, edit)
                for prompt in edit.neighborhood_prompts
                if self._known.get(prompt) == true and not self._is_edited(prompt, true)
            ]
        return asked

    def _is_edited(self, prompt: str, truth: str) -> bool:
        about = self._named.in_prompt(prompt)
        return prompt in self._prompts or any(edit.target_true == truth for edit in about)

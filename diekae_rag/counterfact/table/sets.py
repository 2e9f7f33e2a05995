"""Which facts are edited, asked about, calibrated on and left alone, all drawn by one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diekae_rag.counterfact.facts import Facts, template_of
from diekae_rag.counterfact.relations import relation_names
from diekae_rag.data.sets import EditRecord
from diekae_rag.editing.subjects import SubjectTable
from diekae_rag.editing.words import plain_words

__all__ = ["LARGEST", "EditSets", "NamedSubjects", "draw_sets"]

LARGEST = 10_000
_MOST_EXAMPLES = 3000


@dataclass(frozen=True, slots=True)
class EditSets:
    """Edits in the order in which sets take them: a smaller set is the beginning of a larger one.

    Args:
        edits: Held-out ones first. No two are about the same fact.
        num_held_out: How many of them no encoder was trained to edit.
        known: Prompts with their true targets.
        unrelated: Prompts of facts that are not edited, about subjects that none of them is about.
        examples: What matching is calibrated on: facts, of which none is edited, with the names of
            their relations.
        others: For each template one of another relation, by which a subject is asked something
            else.
    """

    edits: tuple[EditRecord, ...]
    num_held_out: int
    known: Mapping[str, str]
    unrelated: tuple[str, ...]
    examples: tuple[Mapping[str, Any], ...]
    others: Mapping[str, Sequence[str]]

    def of(self, count: int, most: int) -> list[tuple[EditRecord, ...]]:
        """Sets of ``count`` edits that have no edit in common, the first one first.

        Args:
            count: Edits in each.
            most: Most sets; of the larger ones there is only one.
        """
        number = max(1, min(most, self.num_held_out // count))
        return [self.edits[first : first + count] for first in range(0, number * count, count)]


class NamedSubjects:
    """The edits whose subject a prompt names, as words."""

    def __init__(self, edits: Sequence[EditRecord]) -> None:
        self._table = SubjectTable()
        self._edits: dict[tuple[str, ...], list[EditRecord]] = {}
        for edit in edits:
            subject = plain_words(edit.subject)
            self._table.add(subject)
            self._edits.setdefault(subject, []).append(edit)

    def in_prompt(self, prompt: str) -> list[EditRecord]:
        """Those edits, whatever they say of it."""
        named = self._table.find(plain_words(prompt))
        return [edit for subject in named for edit in self._edits[subject]]


def draw_sets(
    facts: Facts, *, most: int = LARGEST, num_unrelated: int = 200, seed: int = 0
) -> EditSets:
    """Draws all of it.

    Args:
        facts: Both splits.
        most: Edits of the largest set, if there are so many facts: half of those that training may
            edit are left alone. What else is drawn depends on it.
        num_unrelated: Unrelated prompts; not more than what is left to calibrate on.
        seed: Of the draw.
    """
    rng = random.Random(seed)
    known = facts.known()
    held_out = rng.sample(facts.valid, len(facts.valid))
    editable = facts.editable()
    rest = iter(rng.sample(editable, len(editable)))
    taken = _Taken(known)
    edits = [edit for edit in held_out if taken.takes(edit)][:most]
    num_held_out = len(edits)
    edits += _first(rest, min(most - num_held_out, len(editable) // 2), taken)
    named = NamedSubjects(edits)
    left = [edit for edit in rest if not named.in_prompt(edit.prompt)]
    num_unrelated = min(num_unrelated, len(left) // 2)
    relations = relation_names(facts)
    return EditSets(
        tuple(edits),
        num_held_out,
        known,
        tuple(edit.prompt for edit in left[:num_unrelated]),
        tuple(_example(edit, relations) for edit in left[num_unrelated:][:_MOST_EXAMPLES]),
        {
            template: [other for other, name in relations.items() if name != relation]
            for template, relation in relations.items()
        },
    )


class _Taken:
    """What sets edit already: they say one thing of each fact, however it is worded."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._facts: set[object] = set()

    def takes(self, edit: EditRecord) -> bool:
        """Whether an edit is the first about its fact; from now on it is taken."""
        subject = plain_words(edit.subject)
        about = {(subject, edit.target_true), (subject, plain_words(template_of(edit)))}
        if self._facts & about or self._known.get(edit.prompt) != edit.target_true:
            return False
        self._facts |= about
        return True


def _first(edits: Iterator[EditRecord], count: int, taken: _Taken) -> Iterator[EditRecord]:
    while count > 0 and (edit := next(edits, None)) is not None:
        if taken.takes(edit):
            count -= 1
            yield edit


def _example(edit: EditRecord, relations: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "subject": edit.subject,
        "prompt": edit.prompt,
        "relation": relations[template_of(edit)],
        "paraphrase_prompts": list(edit.paraphrase_prompts),
    }

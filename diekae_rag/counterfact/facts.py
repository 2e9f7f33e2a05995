"""CounterFact as what is known, what may be edited in training, and what is held out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from diekae_rag.data.sets import EditRecord, load_edits
from diekae_rag.data.sets.reading import json_lines, lines_of

__all__ = ["Facts", "fact_text", "read_facts", "template_of"]


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of both splits, and what follows from which is held out.

    Args:
        train: Facts that may be edited in training.
        valid: Facts that are edited in measuring only. They are known all the same.
    """

    train: tuple[EditRecord, ...]
    valid: tuple[EditRecord, ...]

    def known(self) -> dict[str, str]:
        """Prompts and their true targets, those of neighbours too; no paraphrase is among them.

        Where a prompt has several true targets, the first one counts.
        """
        paraphrases = {text for edit in self._all() for text in edit.paraphrase_prompts}
        facts: dict[str, str] = {}
        for prompts in (lambda e: (e.prompt,), lambda e: e.neighborhood_prompts):
            for edit in self._all():
                for prompt in prompts(edit):
                    if prompt not in paraphrases:
                        facts.setdefault(prompt, edit.target_true)
        return facts

    def editable(self) -> list[EditRecord]:
        """What training may edit: nothing about a held-out subject, no held-out paraphrase."""
        subjects = {edit.subject.casefold() for edit in self.valid}
        held_out = {text for edit in self.valid for text in edit.paraphrase_prompts}
        return [
            edit
            for edit in self.train
            if edit.subject.casefold() not in subjects
            and not held_out.intersection((*edit.paraphrase_prompts, edit.prompt))
        ]

    def targets(self) -> Mapping[str, list[str]]:
        """What the facts of each template can be edited to: all their targets, true and new."""
        found: dict[str, set[str]] = {}
        for edit in self.train:
            both = (edit.target_true, edit.target_new)
            found.setdefault(template_of(edit), set()).update(both)
        return {template: sorted(targets) for template, targets in found.items()}

    def _all(self) -> Iterator[EditRecord]:
        yield from self.train
        yield from self.valid


def template_of(edit: EditRecord) -> str:
    """The prompt with a place for the subject, which names the relation.

    Example:
        >>> template_of(EditRecord("Ada", "The home of Ada is", "Turin", "Bern"))
        'The home of {} is'
    """
    return edit.prompt.replace(edit.subject, "{}", 1)


def fact_text(prompt: str, target: str) -> str:
    """A fact as a passage says it.

    Example:
        >>> fact_text("The home of Ada is", "Bern")
        'The home of Ada is Bern.'
    """
    return f"{prompt} {target}."


def read_facts(source: str | Path) -> Facts:
    """Reads both splits.

    Args:
        source: ``counterfact.json``, the folder that holds it, or a folder with ``train.jsonl.gz``
            and ``val.jsonl.gz``, where each fact is one line.

    Raises:
        FileNotFoundError: There is neither.
        RecordError: A file is damaged.
    """
    source = Path(source)
    if (source / "train.jsonl.gz").is_file():
        return Facts(*(tuple(_lines(source / f"{name}.jsonl.gz")) for name in ("train", "val")))
    train, valid = (load_edits("counterfact", split, source=source) for split in ("train", "valid"))
    return Facts(tuple(train), tuple(valid))


def _lines(path: Path) -> Iterable[EditRecord]:
    for row in json_lines(lines_of(path), str(path)):
        yield EditRecord(
            row["subject"].text(),
            row["prompt"].text(),
            row["target_true"].text(),
            row["target_new"].text(),
            row["paraphrase_prompts"].texts(),
            row["neighborhood_prompts"].texts(),
        )

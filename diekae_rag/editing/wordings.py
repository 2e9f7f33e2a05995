"""What examples tell: other words for the same relations, and prompts that nobody edits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from diekae_rag.editing.edit import Edit
from diekae_rag.editing.words import plain_words

__all__ = ["Wordings"]

_MOST = 500  # of a relation


class Wordings:
    """The ways to say a relation, by the relation as an edit words it.

    Args:
        examples: Mappings with ``subject``, ``prompt``, ``paraphrase_prompts`` and, where several
            prompts mean the same, ``relation``, as ``Edits.calibrate`` takes them. A wording that
            does not name the subject is passed over.

    Raises:
        ValueError: An example lacks something.

    Example:
        >>> said = {"subject": "Ada", "prompt": "{} lives in", "paraphrase_prompts": ["Ada's home"]}
        >>> Wordings([said]).of(Edit("Bob", "{} lives in", "Rome", "Turin"))
        ["Bob's home"]
    """

    def __init__(self, examples: Iterable[Mapping[str, Any]] = ()) -> None:
        self.prompts: list[tuple[Edit, str]] = []
        self._names: dict[tuple[str, ...], str] = {}
        self._templates: dict[str, dict[str, None]] = {}
        for number, item in enumerate(examples, 1):
            self._add(number, item)

    def _add(self, number: int, item: Mapping[str, Any]) -> None:
        inner = item.get("requested_rewrite", item)
        others = item.get("paraphrase_prompts")
        if others is None or isinstance(others, str) or not {"subject", "prompt"} <= set(inner):
            raise ValueError(
                f"example {number} needs 'subject', 'prompt' and 'paraphrase_prompts', a list."
            )
        edit = Edit(inner["subject"], inner["prompt"], "old", "new")
        relation = edit.key[1]
        name = inner.get("relation", inner.get("relation_id")) or " ".join(relation)
        found = self._templates.setdefault(self._names.setdefault(relation, name), {})
        self.prompts += [(edit, text) for text in (edit.prompt, *others)]
        for wording in others:
            try:
                template = Edit(edit.subject, wording, "old", "new").about("{}")
            except ValueError:
                continue
            if len(found) < _MOST:
                found.setdefault(template)

    def fact(self, edit: Edit, subject: str | None = None) -> tuple[tuple[str, ...], str]:
        """What an edit is about however it is worded: its subject, or another, and a relation."""
        subject_words, relation = edit.key
        words = subject_words if subject is None else plain_words(subject)
        return words, self._names.get(relation, " ".join(relation))

    def unedited(self, edits: Iterable[Edit]) -> list[str]:
        """The examples' prompts, in their own words and others, but those of edited facts."""
        edited = {self.fact(edit) for edit in edits}
        return [text for edit, text in self.prompts if self.fact(edit) not in edited]

    def of(self, edit: Edit, subject: str | None = None) -> list[str]:
        """What an edit's prompt is in other words, of its own subject or another one."""
        templates = self._templates.get(self._names.get(edit.key[1], ""), {})
        about = edit.subject if subject is None else subject
        return [template.replace("{}", about) for template in templates]

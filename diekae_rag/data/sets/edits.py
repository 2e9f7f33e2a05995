"""Facts to be overwritten, as the sets that hold such give them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EditRecord"]


@dataclass(frozen=True, slots=True)
class EditRecord:
    """A fact to be overwritten.

    Args:
        subject: Whom or what it is about.
        prompt: What the fact completes, or answers.
        target_true: How it was completed before.
        target_new: How it is to be completed.
        paraphrase_prompts: Other wordings of ``prompt``, which are to change likewise.
        neighborhood_prompts: The same about other subjects, for which ``target_true`` is right and
            is to stay so.
        unrelated_prompts: Prompts about something else altogether, whose answers are to stay.
        unrelated_targets: Their answers.
    """

    subject: str
    prompt: str
    target_true: str
    target_new: str
    paraphrase_prompts: tuple[str, ...] = ()
    neighborhood_prompts: tuple[str, ...] = ()
    unrelated_prompts: tuple[str, ...] = ()
    unrelated_targets: tuple[str, ...] = ()

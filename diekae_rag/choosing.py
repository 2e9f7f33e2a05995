"""Which way a prompt's passages go: as asked for, or the way that has the first token sooner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from diekae_rag.answers import Mode, ModeChoice
from diekae_rag.passages import Passage
from diekae_rag.requests import Request

if TYPE_CHECKING:
    from diekae_rag.editing.written import WrittenEdits
    from diekae_rag.model import DiekaeModel

    InWeights = tuple[WrittenEdits | None, frozenset[str]]

__all__ = ["choose"]


def choose(
    model: DiekaeModel,
    prompt: str,
    passages: Sequence[Passage],
    mode: ModeChoice,
    max_new_tokens: int,
    is_worded: bool,
    in_weights: InWeights | None = None,
) -> tuple[Mode, Request]:
    """One prompt, ready to be read, and the mode: the one asked for, or the faster one.

    Edits that the prompt means are read before the passages, and go their way; without any passage
    to go one (``mode="none"``), they are injected. Of those that are in weights, the weights alone
    are trusted where the prompt is an edit's own words and no passage could say otherwise.

    Args:
        model: Who answers; for ``mode="auto"``, one that has a calibration.
        prompt: The user's text.
        passages: What was retrieved, best first.
        mode: Which way the passages are to go.
        max_new_tokens: The room that is left for the answer.
        is_worded: The prompt is read as it is.
        in_weights: What ``model.in_weights.now`` gave, where prompts are to be answered alike.
    """
    written, ids = in_weights or model.in_weights.now(model.edits)
    meant = model.edits.find(prompt) if isinstance(prompt, str) else []
    is_alone = mode == "none" or not passages
    trusted = {m.edit.id for m in meant if is_alone and m.is_whole} & ids
    edits = [match.edit for match in meant if match.edit.id not in trusted]
    if edits:
        if mode == "none":
            mode, passages = "inject", []
        passages = [*(edit.passage for edit in edits), *passages]
    way, request = _choose(model, prompt, passages, mode, max_new_tokens, is_worded, len(edits))
    read = {passage.id for passage in request.passages[: len(edits)]}
    request.edits = [m.edit for m in meant if m.edit.id in trusted or m.edit.passage.id in read]
    request.written = written
    return way, request


def _choose(
    model: DiekaeModel,
    prompt: str,
    passages: Sequence[Passage],
    mode: ModeChoice,
    max_new_tokens: int,
    is_worded: bool,
    num_edits: int,
) -> tuple[Mode, Request]:
    prepare = partial(model.prepare, prompt, passages, num_edits=num_edits)
    if mode != "auto":
        return mode, prepare(mode, max_new_tokens, is_worded)
    assert model.calibration is not None
    request = prepare("inject", max_new_tokens, is_worded, warns=False)
    is_kept = model.states is not None and model.states.knows(request)
    way, reason = model.calibration.choose(request.knowledge_tokens, is_kept=is_kept)
    chosen = request
    if way == "stuff":
        chosen = prepare(way, max_new_tokens, is_worded, warns=False)
        if chosen.truncated_tokens > request.truncated_tokens:
            way, reason = "inject", f"{reason}; stuffed, they would not all fit"
            chosen = request
    if chosen.truncated_tokens:  # once more, to say so
        chosen = prepare(way, max_new_tokens, is_worded)
    chosen.mode_reason = reason
    return way, chosen

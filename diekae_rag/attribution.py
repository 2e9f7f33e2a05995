"""How much each passage contributed to an answer: it is scored once more without that passage.

The same tokens, under the model's own distribution, whichever way they were chosen: one batch of
N + 1 rows for N passages. Injected, a row is no longer than question and answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diekae_rag.answers import Attribution, Mode
from diekae_rag.requests import Request
from diekae_rag.scoring import score_rows

if TYPE_CHECKING:
    from diekae_rag.injected import InjectedModel

__all__ = ["attribute", "share_out"]


def attribute(
    model: InjectedModel, request: Request, tokens: list[int], mode: Mode, max_new_tokens: int
) -> tuple[list[Attribution], int]:
    """What each passage contributed to an answer.

    A passage's value is the difference of two scores of the answer: with all the passages that
    were used, and with all but this one, which is then in neither encoders nor prompt. Passages
    that were not used do not take its place. Of two that say the same, either can be left out, and
    neither seems to contribute.

    Args:
        model: Who answered.
        request: What it was asked.
        tokens: The answer's own; of none, every passage contributed 0.
        mode: The way its passages went.
        max_new_tokens: The room that was left for the answer.

    Returns:
        An ``Attribution`` for each of ``request.passages``, and how many tokens the base model
        read to find them.
    """
    used = request.passages
    if not used or not tokens:
        return share_out([0.0] * len(used)), 0
    rows = [request]
    for number in range(len(used)):
        others = used[:number] + used[number + 1 :]
        without_it = model.prepare(
            request.prompt,
            others,
            mode,
            max_new_tokens,
            request.is_worded,
            warns=False,
            num_edits=request.num_edits - (number < request.num_edits),
        )
        without_it.written = request.written
        rows.append(without_it)
    with_all, *without = score_rows(model, rows, [tokens] * len(rows), mode)
    read = sum(len(row.input_ids) + len(tokens) for row in rows)
    return share_out([with_all - score for score in without]), read


def share_out(values: Sequence[float]) -> list[Attribution]:
    """Nats with their shares of all that is above 0.

    Example:
        >>> [item.share for item in share_out([3.0, -1.0, 1.0])]
        [0.75, 0.0, 0.25]
        >>> [item.share for item in share_out([0.0, -2.0])]
        [0.0, 0.0]
    """
    total = sum(value for value in values if value > 0)
    return [Attribution(value, value / total if value > 0 else 0.0) for value in values]

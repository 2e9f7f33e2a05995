"""Learning from examples which prompts mean an edit, and from what similarity on.

Axes: N texts, D vector size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diekae_rag.editing.contrasts import says_otherwise
from diekae_rag.editing.edit import Edit
from diekae_rag.editing.embedding import EditEmbedder
from diekae_rag.editing.matching import relations_in
from diekae_rag.editing.projection import Projection, fit_projection

__all__ = ["EditCalibration", "fit"]

_FEWEST = 20
_LEAST = 0.25  # however far apart the relations of the examples are, others may be nearer
_ANY = "one 1"  # an answer to whatever is asked for
_HELD_OUT = 5  # every fifth example of a relation is kept out of training and measured


@dataclass(frozen=True, slots=True)
class EditCalibration:
    """What was measured on examples that nothing was learned from.

    Args:
        threshold: From what similarity on a prompt means an edit.
        recall: Share of the wordings that are known as meaning their edit.
        false_share: Share of prompts about another relation of the same subject that are not told
            from it.
        num_examples: On how many wordings of examples this was measured.
    """

    threshold: float
    recall: float
    false_share: float
    num_examples: int


def fit(
    examples: Iterable[Mapping[str, Any]], embedder: EditEmbedder, false_share: float
) -> tuple[Projection, EditCalibration]:
    """Learns a projection from four in five examples of a relation and a threshold from the fifth.

    Raises:
        ValueError: There are too few, one lacks something, or all are about one relation.
        TypeError: One has something else than text in a text's place.
    """
    rows = [row for number, item in enumerate(examples, 1) for row in _rows(number, item)]
    if len(rows) < _FEWEST or len({relation for _, _, relation, _ in rows}) < 2:
        raise ValueError(f"calibrating needs {_FEWEST} wordings of two relations or more.")
    texts = list(dict.fromkeys(text for own, said, _, _ in rows for text in (own, said)))
    vectors = dict(zip(texts, embedder.raw(texts), strict=True))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(row[2] for row in rows))}
    measured = _every_fifth(rows)
    train = [row for row in rows if row[3] not in measured]
    held_out = [row for row in rows if row[3] in measured]
    if len({relation for _, _, relation, _ in held_out}) < 2:
        raise ValueError(
            f"calibrating needs {_HELD_OUT} examples or more of at least two relations: every "
            "fifth is kept out to measure by."
        )
    both = [(text, row[2]) for row in train for text in (row[0], row[1])]
    projection = fit_projection(
        np.stack([vectors[text] for text, _ in both]), [numbers[name] for _, name in both]
    )
    own, said = (
        projection.apply(np.stack([vectors[text] for text in texts]))
        for texts in ([row[0] for row in held_out], [row[1] for row in held_out])
    )
    of = np.array([numbers[row[2]] for row in held_out])
    apart = np.array([says_otherwise(row[1], row[0], _ANY) for row in held_out])
    return projection, _measure(own, said, of, apart, false_share)


def _measure(
    own: NDArray[np.float32],
    said: NDArray[np.float32],
    of: NDArray[Any],
    apart: NDArray[np.bool_],
    false_share: float,
) -> EditCalibration:
    scores = own @ said.T
    others = scores[of[:, None] != of[None]]
    reached = np.quantile(others, 1 - false_share, method="higher")
    threshold = max(_LEAST, float(np.nextafter(reached, np.float32(2))))
    same = np.where(apart, -np.inf, scores.diagonal())
    return EditCalibration(
        threshold, float((same >= threshold).mean()), float((others >= threshold).mean()), len(of)
    )


def _every_fifth(rows: Sequence[tuple[str, str, str, int]]) -> set[int]:
    """The numbers of the examples that are kept out: every fifth of each relation."""
    of_relation: dict[str, dict[int, None]] = {}
    for _, _, relation, number in rows:
        of_relation.setdefault(relation, {})[number] = None
    return {
        number for own in of_relation.values() for number in list(own)[_HELD_OUT - 1 :: _HELD_OUT]
    }


def _rows(number: int, item: Mapping[str, Any]) -> list[tuple[str, str, str, int]]:
    """The relation of an example's prompt and of each wording, with its name and number."""
    if not isinstance(item, Mapping):
        raise TypeError(f"example {number} must be a mapping, got {type(item).__name__}.")
    inner = item.get("requested_rewrite", item)
    relation = inner.get("relation", inner.get("relation_id"))
    wordings = item.get("paraphrase_prompts")
    if not isinstance(relation, str) or isinstance(wordings, str) or not wordings:
        raise ValueError(
            f"example {number} needs 'relation', a name, and 'paraphrase_prompts', a list."
        )
    if missing := [name for name in ("subject", "prompt") if name not in inner]:
        raise ValueError(f"example {number} has no {missing[0]!r}.")
    try:
        edit = Edit(inner["subject"], inner["prompt"], "old", "new")
    except (ValueError, TypeError) as error:
        raise type(error)(f"example {number}: {error}") from None
    if others := [type(wording).__name__ for wording in wordings if not isinstance(wording, str)]:
        raise TypeError(f"example {number} has a {others[0]} among its 'paraphrase_prompts'.")
    found = [relations_in(wording, edit.key[0]) for wording in wordings]
    return [(edit.relation, said[-1], relation, number) for said in found if said]

"""What we want edits to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diekae_rag.counterfact.table.calls import PROMPTS

__all__ = ["check_goals"]

_COUNT, _LARGE = 1000, 10_000
_POINT = 0.01
_SHARES = (
    ("efficacy", "success", 0.99),
    ("efficacy", "accuracy", 0.95),
    ("paraphrase", "success", 0.95),
    ("paraphrase", "accuracy", 0.85),
)
_CALL = 1.1

_Cell = Mapping[str, Any]
_Value = tuple[str, float, float, bool]  # what it is, the bound, what was measured, is it "at most"


def check_goals(cells: Sequence[_Cell]) -> list[dict[str, Any]]:
    """Says of every goal whose cells are there whether edits as knowledge reach it.

    Args:
        cells: Of a report.

    Returns:
        Of each ``goal``, ``at_least`` or ``at_most``, ``value`` and ``is_met``.
    """
    found = {
        tuple(cell["setting"][name] for name in ("arm", "count", "condition")): cell
        for cell in cells
        if cell["setting"]["condition"] != "calls"
    }
    return [
        {
            "goal": text,
            "at_most" if is_most else "at_least": bound,
            "value": value,
            "is_met": value <= bound if is_most else value >= bound,
        }
        for text, bound, value, is_most in (*_values(found), *_calls(cells))
    ]


def _values(found: Mapping[tuple[str, int, str], _Cell]) -> Iterator[_Value]:
    own = found.get(("as_knowledge", _COUNT, "added"))
    large = found.get(("as_knowledge", _LARGE, "added"))
    unedited = found.get(("unedited", _COUNT, "added"))
    if own is not None:
        for kind, figure, bound in _SHARES:
            yield f"{kind}, {figure}, {_COUNT:,} edits", bound, own[figure][kind], False
        if unedited is not None:
            for figure, bound in (("success", 0.0), ("accuracy", _POINT)):
                drop = unedited[figure]["neighbourhood"] - own[figure]["neighbourhood"]
                yield f"neighbourhood, {figure} lost, {_COUNT:,} edits", bound, drop, True
        yield f"unrelated, bit-identical, {_COUNT:,} edits", 1.0, own["bit_identical"], False
        if large is not None:
            for kind in ("efficacy", "neighbourhood"):
                for figure in ("success", "accuracy"):
                    apart = abs(large[figure][kind] - own[figure][kind])
                    yield f"{kind}, {figure}, {_LARGE:,} edits off {_COUNT:,}", _POINT, apart, True
    for condition, figure, text in (
        ("half_removed", "removed_as_unedited", "removed edits answer as unedited"),
        ("loaded", "as_before", "saved and loaded, replies as before"),
        ("one_by_one", "as_before", "added one by one, replies as at once"),
        ("rolled_back", "bit_identical", "rolled back, prompts bit-identical"),
    ):
        if (after := found.get(("as_knowledge", _COUNT, condition))) is not None:
            yield text, 1.0, after[figure], False


def _calls(cells: Sequence[_Cell]) -> Iterator[_Value]:
    for cell in cells:
        setting = cell["setting"]
        if (setting["condition"], setting["count"]) == ("calls", _LARGE):
            for kind, text in PROMPTS.items():
                what = f"{setting['shape'] or 'reader'}: call with {_LARGE:,} edits / without"
                yield f"{what}, prompt {text}", _CALL, cell["calls"][kind]["ratio"], True

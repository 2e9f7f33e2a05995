"""What a search may ask of metadata, ids and documents.

A filter is a mapping (``{"kind": "town"}``, the short way) or one of the conditions below, which
can be put together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diekae_rag.index.arguments import as_ids

__all__ = [
    "AllOf",
    "AnyOf",
    "Condition",
    "Filter",
    "FromDocument",
    "NoneOf",
    "Where",
    "WithId",
    "as_filter",
    "holds",
]


def _contains(found: Any, value: Any) -> bool:
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    return isinstance(found, list | dict) and value in found


def _matches_text(found: Any, value: str) -> bool:
    return isinstance(found, str) and value in found


def _matches_text_in_any_case(found: Any, value: str) -> bool:
    return isinstance(found, str) and value.lower() in found.lower()


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda found, value: bool(found == value),
    "!=": lambda found, value: bool(found != value),
    ">": lambda found, value: bool(found > value),
    ">=": lambda found, value: bool(found >= value),
    "<": lambda found, value: bool(found < value),
    "<=": lambda found, value: bool(found <= value),
    "in": lambda found, value: found in value,
    "not in": lambda found, value: found not in value,
    "contains": _contains,
    "contains any": lambda found, value: any(_contains(found, item) for item in value),
    "contains all": lambda found, value: all(_contains(found, item) for item in value),
    "matches text": _matches_text,
    "matches text in any case": _matches_text_in_any_case,
    "is empty": lambda found, _: found in ("", []),
}
_OPPOSITES = {"!=": "==", "not in": "in"}
_TAKE_A_LIST = ("in", "not in", "contains any", "contains all")
_TAKE_A_TEXT = ("matches text", "matches text in any case")
_TAKE_AN_ORDER = (">", ">=", "<", "<=")


@dataclass(frozen=True, slots=True)
class Where:
    """What a passage's metadata must have under a key.

    Values are compared as in Python, so that ``1`` is ``1.0`` and ``True``. A passage without the
    key, or with null there, matches ``!=``, ``not in`` and ``is empty`` only. A value that cannot
    be compared (a text with ``>= 3``) does not match.

    Args:
        key: The metadata's key.
        operator: ``==  !=  >  >=  <  <=``, ``in``, ``not in``; for lists and texts ``contains``,
            ``contains any``, ``contains all``; ``matches text`` (a part of a text), ``matches text
            in any case``; ``is empty`` (missing, null, ``""`` or ``[]``; takes no value).
        value: What to compare with.

    Raises:
        ValueError: There is no such operator.
        TypeError: The operator needs another kind of value.

    Example:
        >>> Where("year", ">=", 1990)
        Where(key='year', operator='>=', value=1990)
        >>> Where("kind", "in", "town")
        Traceback (most recent call last):
        ...
        TypeError: the operator 'in' needs a list of values, got str; wrap it: ['town'].
    """

    key: str
    operator: str
    value: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise TypeError(f"a filter's keys must be str, got {type(self.key).__name__}.")
        if self.operator not in _OPERATORS:
            raise ValueError(
                f"there is no operator {self.operator!r}; use one of {', '.join(_OPERATORS)}."
            )
        kind = type(self.value).__name__
        is_list = isinstance(self.value, list | tuple | set | frozenset)
        if self.operator in _TAKE_A_LIST and not is_list:
            raise TypeError(
                f"the operator {self.operator!r} needs a list of values, got {kind}; "
                f"wrap it: [{self.value!r}]."
            )
        if self.operator in _TAKE_A_TEXT and not isinstance(self.value, str):
            raise TypeError(f"the operator {self.operator!r} needs a str, got {kind}.")
        if self.operator in _TAKE_AN_ORDER and not isinstance(self.value, int | float | str):
            raise TypeError(f"the operator {self.operator!r} needs a number or a str, got {kind}.")

    @property
    def opposite(self) -> Where | None:
        """The condition that exactly the other passages meet, where this one is a negation."""
        positive = _OPPOSITES.get(self.operator)
        return None if positive is None else Where(self.key, positive, self.value)


@dataclass(frozen=True, slots=True)
class WithId:
    """Passages with one of these ids."""

    ids: Collection[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(as_ids(self.ids)))


@dataclass(frozen=True, slots=True)
class FromDocument:
    """Passages that a host cut from one of these documents; see ``Entry``."""

    documents: Collection[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "documents", tuple(as_ids(self.documents, "documents")))


@dataclass(frozen=True, slots=True)
class _Several:
    parts: Sequence[Filter] = ()

    def __post_init__(self) -> None:
        if isinstance(self.parts, str | Mapping | Condition):
            kind = type(self.parts).__name__
            raise TypeError(f"{type(self).__name__} needs a list of filters, got one {kind}.")
        object.__setattr__(self, "parts", tuple(as_filter(part) for part in self.parts))


class AllOf(_Several):
    """Passages that meet every condition; without any, all passages."""


class AnyOf(_Several):
    """Passages that meet one condition or more."""


class NoneOf(_Several):
    """Passages that meet none of the conditions."""


Condition = Where | WithId | FromDocument | AllOf | AnyOf | NoneOf
Filter = Mapping[str, Any] | Condition


def as_filter(filter: Filter | None) -> Filter:
    """Reads a filter; ``None`` is the one that everything passes.

    Raises:
        TypeError: It is neither a mapping with keys that are strings nor a condition.
    """
    if filter is None:
        return {}
    if isinstance(filter, Condition):
        return filter
    if not isinstance(filter, Mapping):
        raise TypeError(
            f"filter must map metadata keys to values, or be a condition, "
            f"got {type(filter).__name__}."
        )
    for key in filter:
        if not isinstance(key, str):
            raise TypeError(f"a filter's keys must be str, got {type(key).__name__}.")
    return filter


def holds(found: Any, condition: Where) -> bool:
    """Whether a metadata value, which is not null, meets a condition.

    Example:
        >>> holds(1995, Where("year", ">=", 1990)), holds("1995", Where("year", ">=", 1990))
        (True, False)
    """
    try:
        return _OPERATORS[condition.operator](found, condition.value)
    except TypeError:
        return False

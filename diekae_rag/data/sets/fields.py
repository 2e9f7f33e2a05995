"""A value from a public file together with where it stands, so that errors can say where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diekae_rag.data.records import RecordError

__all__ = ["Field"]


class Field:
    """A JSON value and its place.

    Args:
        value: The value.
        where: The file and the line or item.
        path: Which field of it; empty for the whole.

    Example:
        >>> row = Field({"turns": [{"text": " So  it is. "}]}, "a.json, item 1")
        >>> row["turns"][0]["text"].text()
        'So it is.'
        >>> row["turns"][0]["txt"]
        Traceback (most recent call last):
        diekae_rag.data.records.RecordError: a.json, item 1: there is no field 'turns[0].txt'.
    """

    __slots__ = ("path", "value", "where")

    def __init__(self, value: Any, where: str, path: str = "") -> None:
        self.value, self.where, self.path = value, where, path

    def __getitem__(self, key: str | int) -> Field:
        held = (
            self._of_type(list, "list") if isinstance(key, int) else self._of_type(dict, "object")
        )
        path = self._below(key)
        try:
            return Field(held[key], self.where, path)
        except (KeyError, IndexError):
            raise RecordError(f"{self.where}: there is no field {path!r}.") from None

    def __contains__(self, key: str) -> bool:
        return key in self._of_type(dict, "object")

    def __iter__(self) -> Iterator[Field]:
        for number, value in enumerate(self._of_type(list, "list")):
            yield Field(value, self.where, self._below(number))

    def items(self) -> Iterator[tuple[str, Field]]:
        """What an object holds and how it is called, in the file's order."""
        for key, value in self._of_type(dict, "object").items():
            yield key, Field(value, self.where, self._below(key))

    def values(self) -> Iterator[Field]:
        """What an object holds, in the file's order."""
        return (field for _, field in self.items())

    def text(self) -> str:
        """The text, its white space folded; it may be blank."""
        return " ".join(self._of_type(str, "text").split())

    def texts(self) -> tuple[str, ...]:
        """A list of texts without the blank ones."""
        return tuple(filter(None, (item.text() for item in self)))

    def number(self) -> float:
        """The number."""
        return float(self._of_type((int, float), "number"))

    def wrong(self, needed: str) -> RecordError:
        """The error that says what the value is and what it must be."""
        name = f"field {self.path!r}" if self.path else "record"
        return RecordError(f"{self.where}: the {name} is {_shown(self.value)}, not {needed}.")

    def _below(self, key: str | int) -> str:
        if isinstance(key, int):
            return f"{self.path}[{key}]"
        return f"{self.path}.{key}" if self.path else key

    def _of_type(self, kind: type | tuple[type, ...], name: str) -> Any:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise self.wrong(f"{'an' if name == 'object' else 'a'} {name}")
        return self.value


def _shown(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", type(None): "null"}
    text = kinds.get(type(value)) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

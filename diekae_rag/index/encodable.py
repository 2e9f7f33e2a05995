"""Text and metadata that every later part can take: UTF-8, SQLite, JSON, tokenizers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["as_json", "encodable_text"]

_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable_text(text: str) -> str:
    r"""Replaces lone surrogates, which no encoding can hold, by U+FFFD; all else is kept.

    Example:
        >>> encodable_text("caf\u00e9 \ud800!") == "caf\u00e9 \ufffd!"
        True
    """
    return _SURROGATE.sub("\ufffd", text)


def as_json(value: object, *, to_compare: bool = False) -> str:
    """Writes a value as JSON; tuples become lists, as JSON has no other sequence.

    Args:
        value: What to write.
        to_compare: Write equal values as equal text: keys sorted, whole numbers as integers. As
            in JSON, ``2000.0`` equals ``2000`` and ``true`` does not equal ``1``.

    Raises:
        TypeError: The value is not JSON: another type, a key that is not a string, NaN, a cycle.

    Example:
        >>> as_json({"year": 2000.0, "authors": ("Ada", None)})
        '{"year": 2000.0, "authors": ["Ada", null]}'
        >>> as_json({"year": 2000.0, "authors": ("Ada", None)}, to_compare=True)
        '{"authors": ["Ada", null], "year": 2000}'
        >>> as_json({"when": {1, 2}})
        Traceback (most recent call last):
        ...
        TypeError: set is not a JSON value
    """
    try:
        plain = _plain(value, to_compare)
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=to_compare)
    except (ValueError, RecursionError) as error:
        raise TypeError(f"not a JSON value: {error}") from error


def _plain(value: Any, to_compare: bool) -> Any:
    if isinstance(value, str):
        return encodable_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return int(value) if to_compare and value.is_integer() else value
    if isinstance(value, list | tuple):
        return [_plain(item, to_compare) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is {type(key).__name__}; JSON keys are strings")
        return {encodable_text(key): _plain(item, to_compare) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is not a JSON value")

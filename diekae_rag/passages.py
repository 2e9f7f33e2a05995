"""A passage: a piece of retrieved text, with where it came from and how well it matched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Passage", "as_passage", "as_passages"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that the encoders may read; the base model never does.

    Args:
        text: What is read. Whitespace alone counts as nothing to read.
        id: Identifies the passage in its index. Derived from ``text`` when not given, so the same
            text has the same id in every process.
        score: How well it matched the question (inner product of normalised vectors), or ``None``
            when it was not found by a search.
        metadata: Where it came from: JSON values only, so that it can be stored without pickle.

    Raises:
        TypeError: ``text`` is not a string.

    Example:
        >>> Passage("Ada lives in Turin.", metadata={"source": "people.txt"}).is_blank
        False
        >>> Passage("a").id == Passage("a").id != Passage("b").id
        True
    """

    text: str
    id: str = ""
    score: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(
                f"a passage's text must be a str, got {type(self.text).__name__}; "
                "decode bytes, or pass Passage(text=...)."
            )
        if not self.id:
            digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
            object.__setattr__(self, "id", digest[:16])

    @property
    def is_blank(self) -> bool:
        """True where there is nothing to read."""
        return not self.text.strip()

    def to_dict(self) -> dict[str, Any]:
        """The passage as JSON values; metadata that is none is given as strings."""
        metadata = json.loads(json.dumps(dict(self.metadata), default=str))
        score = None if self.score is None else float(self.score)
        return {"id": self.id, "text": self.text, "score": score, "metadata": metadata}


def as_passage(item: Passage | str | Mapping[str, Any]) -> Passage:
    """Reads one passage from what users have at hand.

    Args:
        item: A ``Passage``, a string, a mapping with ``"text"`` (and perhaps ``"id"``, ``"score"``
            and ``"metadata"``), or any object with ``page_content`` and ``metadata``.

    Raises:
        TypeError: Anything else.

    Example:
        >>> as_passage({"text": "Ada lives in Turin.", "id": "7"}).id
        '7'
    """
    if isinstance(item, Passage):
        return item
    if isinstance(item, str):
        return Passage(item)
    if isinstance(item, Mapping) and isinstance(item.get("text"), str):
        unknown = set(item) - {"text", "id", "score", "metadata"}
        metadata = {**{k: item[k] for k in sorted(unknown)}, **(item.get("metadata") or {})}
        given = item.get("id")
        return Passage(
            item["text"], "" if given is None else str(given), item.get("score"), metadata
        )
    if isinstance(content := getattr(item, "page_content", None), str):
        metadata = dict(getattr(item, "metadata", None) or {})
        return Passage(content, str(getattr(item, "id", None) or ""), None, metadata)
    raise TypeError(
        f"cannot read a passage from {type(item).__name__}; "
        "pass a str, a Passage, or a mapping with 'text'."
    )


def as_passages(items: Iterable[Passage | str | Mapping[str, Any]] | None) -> list[Passage]:
    """Reads a list of passages; ``None`` is the empty list.

    Raises:
        TypeError: ``items`` is a bare string (a list was needed), or an item is no passage.

    Example:
        >>> [p.text for p in as_passages(["a", {"text": "b"}])]
        ['a', 'b']
    """
    if items is None:
        return []
    if isinstance(items, str | Passage | Mapping):
        raise TypeError(
            f"passages must be a list, got one {type(items).__name__}; wrap it: passages=[...]."
        )
    return [as_passage(item) for item in items]

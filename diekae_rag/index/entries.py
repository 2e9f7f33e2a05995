"""What is put into an index: a passage and, from a host, more than a passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diekae_rag.index.encodable import as_json, encodable_text
from diekae_rag.passages import Passage

__all__ = ["Entry", "Record", "as_record"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage as a host hands it over.

    Args:
        passage: What is found and read.
        vector: Its vector, where the host has made one; scaled to length 1.
        embedded_text: What the vector is made of, where that is not the passage's text.
        document: Which document it was cut from; ``FromDocument`` finds it by that.
        attachment: What only the host reads. Kept beside the passage, out of its metadata.
    """

    passage: Passage
    vector: Sequence[float] | None = None
    embedded_text: str | None = None
    document: str | None = None
    attachment: str | None = None

    @property
    def text_to_embed(self) -> str:
        """What its vector is made of."""
        return self.passage.text if self.embedded_text is None else self.embedded_text


class Record(NamedTuple):
    """An entry ready to be stored: UTF-8 throughout, the metadata as JSON."""

    id: str
    text: str
    metadata: str
    document: str | None
    attachment: str | None


def as_record(entry: Entry) -> Record:
    """Checks that an entry can be stored; lone surrogates become U+FFFD, the score is dropped.

    Raises:
        TypeError: The metadata is not JSON, or the id is not a string.
        ValueError: The id holds lone surrogates, so that two ids might become one;
            or its document's name does.
    """
    passage = entry.passage
    if not isinstance(passage.id, str):
        raise TypeError(f"a passage's id must be a str, got {type(passage.id).__name__}.")
    if encodable_text(passage.id) != passage.id:
        raise ValueError(f"the id {passage.id!r} holds lone surrogates; give the passage another.")
    if not isinstance(passage.metadata, Mapping):
        kind = type(passage.metadata).__name__
        raise TypeError(f"the metadata of passage {passage.id!r} is {kind}, not a mapping.")
    try:
        metadata = as_json(passage.metadata)
    except TypeError as error:
        raise TypeError(
            f"the metadata of passage {passage.id!r} cannot be stored: {error}. "
            "Keep JSON values only (str, int, float, bool, None, lists, mappings)."
        ) from error
    if entry.document is not None and encodable_text(entry.document) != entry.document:
        raise ValueError(f"the document {entry.document!r} holds lone surrogates; rename it.")
    attachment = None if entry.attachment is None else encodable_text(entry.attachment)
    return Record(passage.id, encodable_text(passage.text), metadata, entry.document, attachment)

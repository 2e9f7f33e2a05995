"""What is wrong with a folder of edits."""

from __future__ import annotations

from diekae_rag.errors import DiekaeError

__all__ = ["EditsError"]


class EditsError(DiekaeError):
    """A folder of edits that cannot be read, must not be replaced, or is another embedder's."""

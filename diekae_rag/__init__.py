"""Knowledge for a frozen language model, without putting it in the prompt.

What is promised here: ``DiekaeModel`` answers, ``Passage`` is what it reads, ``PassageIndex`` finds
passages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diekae_rag.answers import Answer, Usage
    from diekae_rag.config import DiekaeConfig
    from diekae_rag.encoders import Encoders
    from diekae_rag.errors import DiekaeError, PromptTooLongError
    from diekae_rag.index import PassageIndex, read_documents
    from diekae_rag.model import DiekaeModel
    from diekae_rag.passages import Passage

__version__ = "0.1.0"

_HOMES = {
    "Answer": "answers",
    "DiekaeConfig": "config",
    "DiekaeError": "errors",
    "DiekaeModel": "model",
    "Encoders": "encoders",
    "Passage": "passages",
    "PassageIndex": "index",
    "PromptTooLongError": "errors",
    "Usage": "answers",
    "read_documents": "index",
}

__all__ = [
    "Answer",
    "DiekaeConfig",
    "DiekaeError",
    "DiekaeModel",
    "Encoders",
    "Passage",
    "PassageIndex",
    "PromptTooLongError",
    "Usage",
    "read_documents",
]


def __getattr__(name: str) -> Any:
    """Imports a name when it is first used: no work at import."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

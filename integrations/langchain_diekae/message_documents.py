"""What a message says, and the documents that it brings: two things that never mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from diekae_rag.passages import Passage
from langchain_diekae.documents import to_passages
from langchain_diekae.wire import Wire

__all__ = ["documents_beside", "read_message"]


def read_message(message: BaseMessage, wire: Wire) -> tuple[str, list[Passage]]:
    """A message's text, and the documents it brings.

    Documents are those of ``additional_kwargs["documents"]``, then those of a ``ToolMessage``'s
    artifact, of content blocks (``text-plain``, ``document``, ``search_result``) and of text that a
    ``document_prompt`` wrapped. A tool's text that says what its artifact holds is left aside. An
    ``AIMessage`` brings none: what another model says it answered from stays where it is.

    Raises:
        TypeError: ``additional_kwargs["documents"]`` is no list of documents.
        ValueError: A block that cannot be read (an image, a file that is not text, ...).

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> block = {"type": "text-plain", "text": "Ada lives in Turin."}
        >>> text, passages = read_message(HumanMessage(["Where?", block]), Wire("0"))
        >>> text, passages[0].text
        ('Where?', 'Ada lives in Turin.')
    """
    if isinstance(message, AIMessage):
        return str(message.text), []
    passages = to_passages(documents_beside(message))
    if isinstance(message, ToolMessage) and _are_documents(message.artifact):
        return "", [*passages, *to_passages(message.artifact)]
    content = [message.content] if isinstance(message.content, str) else message.content
    said = ""
    for block in content:
        if isinstance(block, str):
            said += block
        elif block.get("type") == "text" and isinstance(text := block.get("text") or "", str):
            said += text
        else:
            passages += _in_block(block)
    text, wrapped = wire.take_all(said)
    return text, [*passages, *wrapped]


def documents_beside(message: BaseMessage) -> list[Any]:
    """What stands in ``additional_kwargs["documents"]``.

    Raises:
        TypeError: It is no list.
    """
    given = message.additional_kwargs.get("documents")
    if not isinstance(given, list | tuple | None):
        raise TypeError(
            'additional_kwargs["documents"] must be a list of documents, since messages are read '
            f"again at every turn; got {type(given).__name__}."
        )
    return list(given or [])


def _are_documents(artifact: Any) -> bool:
    """True for what a retriever's tool leaves; other artifacts are no business of a model."""
    if not artifact or not isinstance(artifact, list | tuple):
        return False
    return all(isinstance(item, Document | Passage) for item in artifact)


def _in_block(block: Mapping[str, Any]) -> list[Passage]:
    kind, source = block.get("type"), block.get("source")
    inside = source if isinstance(source, Mapping) else {}
    if kind == "text-plain":
        texts = [block.get("text")]
    elif kind == "search_result":
        texts = _texts(block.get("content"))
    elif kind == "document" and inside.get("type") == "text":
        texts = [inside.get("data")]
    elif kind == "document" and inside.get("type") == "content":
        texts = _texts(inside.get("content"))
    else:
        texts = [None]
    if not all(isinstance(text, str) for text in texts):
        of = f" with a source of type {inside['type']!r}" if "type" in inside else ""
        raise ValueError(
            f"a content block of type {kind!r}{of} has no text that can be read; a message takes "
            "text, and documents as text-plain, document or search_result with text."
        )
    metadata = {name: block[name] for name in ("title", "context", "url") if block.get(name)}
    if isinstance(source, str):
        metadata["source"] = source
    return [Passage(str(text), metadata=metadata) for text in texts]


def _texts(content: Any) -> list[Any]:
    """A string, or the texts of a list of text blocks; ``None`` for what is none."""
    if not isinstance(content, list):
        return [content]
    return [item.get("text") if isinstance(item, Mapping) else item for item in content]

"""LlamaIndex's nodes and our passages, translated into each other."""

from __future__ import annotations

import json

from llama_index.core.schema import BaseNode, MetadataMode, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from diekae_rag import Passage
from diekae_rag.index import Entry

__all__ = ["to_entry", "to_node"]

_KEPT = ("_node_content", "_node_type")


def to_entry(node: BaseNode) -> Entry:
    r"""A node as an entry of an index.

    Its text and its metadata are the passage's, for every host to read; relationships, templates
    and excluded keys are in the attachment, for LlamaIndex alone. What is embedded is the text
    with the metadata that the node shows to embedding models. Metadata is stored as JSON, as
    LlamaIndex itself does: dates as text, numbers that JSON lacks as null.

    Raises:
        TypeError: There is metadata that JSON cannot hold at all.

    Example:
        >>> entry = to_entry(TextNode(text="Turin.", id_="t", metadata={"kind": "town"}))
        >>> entry.passage.metadata, entry.embedded_text
        ({'kind': 'town'}, 'kind: town\n\nTurin.')
    """
    try:
        metadata = node.model_dump(mode="json", include={"metadata"})["metadata"]
    except ValueError as error:
        raise TypeError(
            f"the metadata of node {node.node_id!r} cannot be stored: {error}. "
            "Keep what JSON can hold."
        ) from error
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    passage = Passage(text, node.node_id, metadata=metadata)
    bare = node_to_metadata_dict(node.model_copy(update={"metadata": {}}), remove_text=True)
    return Entry(
        passage,
        vector=node.embedding,
        embedded_text=node.get_content(metadata_mode=MetadataMode.EMBED),
        document=node.ref_doc_id,
        attachment=json.dumps({key: bare[key] for key in _KEPT}, ensure_ascii=False),
    )


def to_node(passage: Passage, attachment: str | None) -> BaseNode:
    """A passage as a node: as it was, or a new one where another host has added it.

    Example:
        >>> to_node(Passage("Turin.", id="t"), None).node_id
        't'
    """
    if attachment is None:
        return TextNode(text=passage.text, id_=passage.id, metadata=dict(passage.metadata))
    node = metadata_dict_to_node(json.loads(attachment), text=passage.text)
    node.metadata = dict(passage.metadata)
    return node

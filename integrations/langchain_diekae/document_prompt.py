"""One argument that makes a chain which stuffs documents send them to the encoders instead."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.prompts import StringPromptTemplate
from pydantic import Field

from diekae_rag.passages import Passage
from langchain_diekae.documents import to_passages
from langchain_diekae.wire import PROCESS_NONCE, Wire

__all__ = ["DiekaeDocumentPrompt"]


class DiekaeDocumentPrompt(StringPromptTemplate):
    """Words a document as a segment that ``DiekaeLLM`` takes out of the prompt again.

    Chains give a document prompt only what it names: the text, and metadata that every document
    has. So sources carry no more than that; ``carrying`` names more.

    Args:
        nonce: That of the model which is to read it.

    Example:
        >>> prompt = DiekaeDocumentPrompt(nonce="0").carrying("source")
        >>> prompt.input_variables
        ['page_content', 'source']
    """

    input_variables: list[str] = Field(default=["page_content"])
    nonce: str = PROCESS_NONCE

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """False: traces need not tell the nonce."""
        return False

    def carrying(self, *keys: str) -> DiekaeDocumentPrompt:
        """The same, for documents that all have these metadata keys (``"score"``, ...)."""
        return self.model_copy(update={"input_variables": [*self.input_variables, *keys]})

    def format(self, **kwargs: Any) -> str:
        """A document's text and metadata as a segment."""
        text = kwargs.pop("page_content")
        passages: list[Passage] = to_passages([Document(page_content=text, metadata=kwargs)])
        return Wire(self.nonce).wrap(passages)

    @property
    def _prompt_type(self) -> str:
        return "diekae-document"

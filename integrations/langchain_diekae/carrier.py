"""What reads documents that travel inside a prompt's text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from langchain_core.language_models import LanguageModelInput
from pydantic import BaseModel, Field, field_validator

from langchain_diekae.document_prompt import DiekaeDocumentPrompt
from langchain_diekae.documents import DocumentLike, to_passages
from langchain_diekae.wire import PROCESS_NONCE, Wire

__all__ = ["DocumentCarrier"]


class DocumentCarrier(BaseModel, ABC):
    """A model to which chains hand documents through strings that they format.

    Args:
        nonce: What marks documents inside a prompt; by default one per process.
    """

    nonce: str = Field(default=PROCESS_NONCE, exclude=True, repr=False)

    @field_validator("nonce")
    @classmethod
    def _check_nonce(cls, nonce: str) -> str:
        return Wire(nonce).nonce

    @property
    def wire(self) -> Wire:
        """How documents travel in a prompt of this model."""
        return Wire(self.nonce)

    @property
    def document_prompt(self) -> DiekaeDocumentPrompt:
        """The ``document_prompt=`` of a chain that stuffs: its documents go to the encoders."""
        return DiekaeDocumentPrompt(nonce=self.nonce)

    def format_docs(self, documents: Iterable[DocumentLike]) -> str:
        """Documents as text for a prompt's context, as in ``retriever | model.format_docs``."""
        return self.wire.wrap(to_passages(documents))

    @abstractmethod
    def attach_documents(
        self, prompt: LanguageModelInput, documents: Iterable[DocumentLike]
    ) -> LanguageModelInput:
        """A prompt that carries documents: the same as to pass them beside it."""

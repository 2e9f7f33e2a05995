"""A chain from documents and a question to an answer."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import BaseOutputParser, StrOutputParser
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from langchain_diekae.carrier import DocumentCarrier

__all__ = ["create_diekae_documents_chain"]


def create_diekae_documents_chain(
    llm: Runnable[Any, Any],
    prompt: BasePromptTemplate[Any],
    *,
    output_parser: BaseOutputParser[Any] | None = None,
    document_variable_name: str = "context",
) -> Runnable[dict[str, Any], Any]:
    """As ``create_stuff_documents_chain``, but the documents go to the encoders, each as it is.

    It takes the same inputs, so it fits into an unchanged ``create_retrieval_chain``. Where the
    prompt has the documents' variable nothing is put, and blank lines around it close up; a prompt
    for this chain does not need the variable. What else was said there ("Context:") stays.

    Args:
        llm: A ``DiekaeLLM`` or ``ChatDiekae``, also bound, configured, retried or with fallbacks.
        prompt: The question's wording.
        output_parser: Reads the answer; by default it is a string.
        document_variable_name: The input that holds the documents.

    Returns:
        A runnable from a mapping with a list of documents, and the prompt's other variables.

    Raises:
        TypeError: There is neither in ``llm``.
    """
    reader = _find_reader(llm)

    def no_documents(_: Any) -> str:
        return reader.format_docs([])

    def attach_documents(inputs: dict[str, Any]) -> LanguageModelInput:
        return reader.attach_documents(inputs["prompt"], inputs["documents"])

    question = RunnablePassthrough.assign(**{document_variable_name: no_documents}) | prompt
    both: dict[str, Any] = {"prompt": question, "documents": itemgetter(document_variable_name)}
    fold = RunnableLambda(attach_documents, name="attach_documents")
    chain = both | fold | llm | (output_parser or StrOutputParser())
    return chain.with_config(run_name="diekae_documents_chain")


def _find_reader(llm: Any) -> DocumentCarrier:
    """The model inside bindings, retries, configurable fields and fallbacks."""
    inner = llm
    while not isinstance(inner, DocumentCarrier):
        own = getattr(inner, "__dict__", {})
        inner = own.get("bound") or own.get("default") or own.get("runnable")
        if inner is None:
            raise TypeError(f"llm must be a DiekaeLLM or a ChatDiekae, got {type(llm).__name__}.")
    return inner

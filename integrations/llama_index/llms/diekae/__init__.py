"""LlamaIndex on a frozen model: retrieved text goes to the encoders, not into the prompt."""

try:
    from llama_index.core.llms.llm import LLM as _LLM  # noqa: F401
except ImportError as error:
    raise ImportError(
        'llama_index.llms.diekae needs llama-index-core: pip install "diekae-rag[llama-index]"'
    ) from error

from llama_index.llms.diekae.base import DiekaeLLM
from llama_index.llms.diekae.routing import answers_a_question
from llama_index.llms.diekae.synthesizer import DiekaeSynthesizer

__all__ = ["DiekaeLLM", "DiekaeSynthesizer", "answers_a_question"]

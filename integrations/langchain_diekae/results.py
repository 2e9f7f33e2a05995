"""Our answers in LangChain's words: plain JSON values, nothing that holds a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.outputs import Generation, GenerationChunk, LLMResult

from diekae_rag.answers import Answer

__all__ = ["to_last_chunk", "to_result"]


def to_info(answer: Answer) -> dict[str, Any]:
    """What goes into ``generation_info``: why it ended, its cost, its sources and its edits."""
    usage = answer.usage.to_dict()
    finish_reason = usage.pop("finish_reason")
    prompt_tokens, new_tokens = usage.pop("prompt_tokens"), usage.pop("new_tokens")
    tokens = {
        "input_tokens": prompt_tokens,
        "output_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
    }
    return {
        "finish_reason": finish_reason,
        "mode": answer.mode,
        "usage": {**tokens, **usage},
        "sources": answer.sources,
        "edits": [edit.to_dict() for edit in answer.edits],
    }


def to_last_chunk(answer: Answer) -> GenerationChunk:
    """The end of a stream: no text, but all that was known only now."""
    return GenerationChunk(text="", generation_info=to_info(answer))


def to_result(answers: Sequence[Answer], num_prompts: int, model: str) -> LLMResult:
    """Answers to several prompts, as many to each, with totals in ``llm_output``."""
    generations = [
        Generation(text=answer.text, generation_info=to_info(answer)) for answer in answers
    ]
    each = len(answers) // max(1, num_prompts)
    totals = {
        name: sum(g.generation_info["usage"][name] for g in generations if g.generation_info)
        for name in ("input_tokens", "output_tokens", "total_tokens", "knowledge_tokens")
    }
    return LLMResult(
        generations=[generations[at : at + each] for at in range(0, len(answers), each or 1)],
        llm_output={"token_usage": totals, "model_name": model},
    )

"""Our answers as chat messages, with what they cost and what they came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation

from diekae_rag import Answer
from langchain_diekae.results import to_info

__all__ = ["mark_cached", "to_chat_chunk", "to_chat_result"]


def to_chat_result(answers: Sequence[Answer], model: str) -> ChatResult:
    """Answers to one conversation."""
    return ChatResult(
        generations=[
            ChatGeneration(
                message=AIMessage(
                    content=answer.text,
                    usage_metadata=_usage(answer),
                    response_metadata=_metadata(answer, model),
                )
            )
            for answer in answers
        ]
    )


def to_chat_chunk(item: str | Answer, model: str) -> ChatGenerationChunk:
    """A piece of an answer; or its end, without text, but with all that was known only now."""
    if isinstance(item, str):
        return ChatGenerationChunk(message=AIMessageChunk(content=item))
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            usage_metadata=_usage(item),
            response_metadata=_metadata(item, model),
            chunk_position="last",
        )
    )


def mark_cached(generations: Sequence[Generation]) -> list[Generation]:
    """The same with ``response_metadata["is_cached"]``: their times are those of the first run."""
    marked: list[Generation] = []
    for generation in generations:
        if isinstance(generation, ChatGeneration):
            metadata = {**generation.message.response_metadata, "is_cached": True}
            message = generation.message.model_copy(update={"response_metadata": metadata})
            generation = generation.model_copy(update={"message": message})
        marked.append(generation)
    return marked


def _usage(answer: Answer) -> UsageMetadata:
    """Tokens only: these are summed up over chunks and calls."""
    usage = answer.usage
    return cast(
        UsageMetadata,
        {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.new_tokens,
            "total_tokens": usage.prompt_tokens + usage.new_tokens,
            "input_token_details": {
                "knowledge": usage.knowledge_tokens,
                "knowledge_kept_out": usage.knowledge_tokens_kept_out,
                "knowledge_from_kept_states": usage.knowledge_tokens_from_kept_states,
            },
        },
    )


def _metadata(answer: Answer, model: str) -> dict[str, Any]:
    return {**to_info(answer), "model_name": model, "model_provider": "diekae"}

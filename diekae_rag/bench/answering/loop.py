"""The encoders' own work: all of them run as one, and one after the other as was first published.

Axes: B rows, T positions of passages and prompt, D width of the base model, h width of an encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from diekae_rag.families import input_embeddings
from diekae_rag.model import DiekaeModel
from diekae_rag.reading import read_knowledge
from diekae_rag.requests import Request, pad_left

__all__ = ["as_one", "in_a_loop"]


@torch.no_grad()
def as_one(model: DiekaeModel, requests: Sequence[Request]) -> dict[int, Tensor]:
    """Reads passages and prompts as a cold injection does.

    Args:
        model: Whose encoders read.
        requests: A row each, prepared for injection.

    Returns:
        For each injected layer its delta at the prompts' positions, ``[B, T, D]``, padded on the
        left.
    """
    knowledge, _ = read_knowledge(model.reader, None, requests)
    ids, mask = (part.to(model.device) for part in pad_left([r.input_ids for r in requests]))
    length = ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=mask.device)
    positions = (mask.long().cumsum(1) - 1).clamp(min=0) + knowledge.starts[:, None]
    deltas: dict[int, Tensor] = model.encoders(
        _embed(model, ids), (causal & mask[:, None]) | itself, positions, knowledge
    )
    return deltas


@torch.no_grad()
def in_a_loop(model: DiekaeModel, requests: Sequence[Request]) -> dict[int, Tensor]:
    """The same encoders as LLaMA stacks, one after the other, every position projected up.

    As the method's authors laid them out: passages and prompt are one causal text. Where a row has
    one passage, the prompt's deltas are those of ``as_one``.

    Args:
        model: Whose encoders read.
        requests: A row each, prepared for injection, all equally long.

    Returns:
        For each injected layer its delta at every position, ``[B, T, D]``.

    Raises:
        ValueError: The rows are not equally long.
    """
    texts = [[t for text in r.knowledge for t in text] + r.input_ids for r in requests]
    if len(set(map(len, texts))) > 1:
        raise ValueError("rows must be equally long to be read in a loop: nothing is padded here.")
    embeddings = _embed(model, torch.tensor(texts, device=model.device))
    starts = [_start(model, request) for request in requests]
    positions = torch.tensor(
        [
            [*range(len(t) - len(r.input_ids)), *range(start, start + len(r.input_ids))]
            for t, r, start in zip(texts, requests, starts, strict=True)
        ],
        device=embeddings.device,
    )
    rotary = model.encoders.rotary(embeddings, position_ids=positions)
    deltas = {}
    for layer in model.encoders.config.layers:
        bodies = model.encoders.bodies
        body = bodies["shared" if "shared" in bodies else str(layer)]
        hidden = body.get_submodule("down")(embeddings)
        for block in body.get_submodule("layers").children():
            hidden = _run(block, hidden, rotary)
        deltas[layer] = model.encoders.up[str(layer)](body.get_submodule("norm")(hidden))
    return deltas


def _start(model: DiekaeModel, request: Request) -> int:
    """The position of a prompt's first token."""
    config = model.encoders.config
    if config.passage_attention == "independent":
        return config.max_passage_tokens
    return sum(map(len, request.knowledge))


def _run(block: nn.Module, hidden: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    attention: Any = block.get_submodule("self_attn")
    attention.config._attn_implementation = "sdpa"  # which, given no mask, is causal
    output: Any = block(hidden, position_embeddings=rotary)
    read: Tensor = output[0] if isinstance(output, tuple) else output
    return read


def _embed(model: DiekaeModel, ids: Tensor) -> Tensor:
    embeddings: Tensor = input_embeddings(model.base)(ids)
    return embeddings.to(model.encoders.device, model.encoders.dtype)

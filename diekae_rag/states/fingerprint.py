"""Tells what passages are read with apart by what it is, alike in every process."""

from __future__ import annotations

import hashlib
import json
import weakref
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from diekae_rag.changes import Changes, weights_in
from diekae_rag.encoders import Encoders
from diekae_rag.prompting import Wording, start_tokens

__all__ = ["fingerprint"]


@dataclass(slots=True)
class _Known:
    """A fingerprint, and what it is of."""

    changes: Changes = field(default_factory=Changes)
    others: tuple[object, ...] = ()
    fingerprint: str = ""


_KNOWN: weakref.WeakKeyDictionary[Encoders, _Known] = weakref.WeakKeyDictionary()
_PROBE = "Who's  Zoë?\n\tIt cost $1,234.50 <s>[INST] — naïve 東京, Привет; e.g. re-reading."


def fingerprint(encoders: Encoders, embeddings: Tensor, tokenizer: PreTrainedTokenizerBase) -> str:
    """16 hexadecimal digits, for all that decides what is read of a passage, and how.

    Two that differ in any weight, in precision, in the passages' wording or longest length, or in
    the tokenizer's vocabulary or its ways differ in it. It is computed once, and again when a
    weight or the vocabulary's size has changed.

    Args:
        encoders: The encoders.
        embeddings: The base model's input embeddings, ``[V, D]``.
        tokenizer: The base model's.

    Example:
        >>> from diekae_rag import DiekaeModel
        >>> model = DiekaeModel.from_pretrained("demo")
        >>> before = model.fingerprint
        >>> with torch.no_grad():
        ...     _ = model.encoders.up["0"].weight.add_(1)
        >>> before == model.fingerprint
        False
    """
    known = _KNOWN.setdefault(encoders, _Known())
    config = encoders.config
    others = (id(tokenizer), len(tokenizer), str(config.wording), config.max_passage_tokens)
    if known.changes.have_come([*weights_in(encoders), embeddings]) or known.others != others:
        digest = hashlib.sha256(_said(encoders, tokenizer).encode())
        for name, weight in [*sorted(encoders.state_dict().items()), ("embeddings", embeddings)]:
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().contiguous().cpu().view(torch.uint8).numpy())
        known.others, known.fingerprint = others, digest.hexdigest()[:16]
    return known.fingerprint


def _said(encoders: Encoders, tokenizer: PreTrainedTokenizerBase) -> str:
    """What is no weight: how encoders read, and how passages become tokens.

    A tokenizer is told by what it does: how it is written down changes with a library's versions.
    """
    config = encoders.config
    names = (
        "rope_theta",
        "rms_norm_eps",
        "passage_attention",
        "passage_direction",
        "num_attention_heads",
        "max_passage_tokens",
    )
    wording = Wording(**(config.wording or {}))
    said = {
        **{name: getattr(config, name) for name in names},
        "passage": wording.passage,
        "probe": [start_tokens(tokenizer), *wording.tokenize_passages(tokenizer, [_PROBE])],
        "vocabulary": sorted(tokenizer.get_vocab().items()),
    }
    return json.dumps(said, sort_keys=True)

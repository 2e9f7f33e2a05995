"""Tells encoders apart by what they are, alike in every process."""

from __future__ import annotations

import hashlib
import weakref

import torch
from torch import Tensor

from diekae_rag.encoders import Encoders

__all__ = ["fingerprint"]

_KNOWN: weakref.WeakKeyDictionary[Encoders, tuple[object, str]] = weakref.WeakKeyDictionary()


def fingerprint(encoders: Encoders, embeddings: Tensor) -> str:
    """16 hexadecimal digits, for encoders and the base model's embeddings that they read.

    Two that differ in any weight, in precision or in a field that says how they read differ in it.
    It is computed once, and again when a weight has changed.

    Args:
        encoders: The encoders.
        embeddings: The base model's input embeddings, ``[V, D]``.

    Example:
        >>> from diekae_rag import DiekaeConfig
        >>> config = DiekaeConfig(layers=[1], base_num_hidden_layers=2, base_hidden_size=8)
        >>> encoders, embeddings = Encoders(config), torch.randn(5, 8)
        >>> before = fingerprint(encoders, embeddings)
        >>> with torch.no_grad():
        ...     _ = encoders.bodies["1"].norm.weight.add_(1)
        >>> before == fingerprint(encoders, embeddings)
        False
    """
    weights = [*sorted(encoders.state_dict().items()), ("embeddings", embeddings.detach())]
    version = tuple((w.data_ptr(), w.dtype, _version(w)) for _, w in weights)
    known = _KNOWN.get(encoders)
    if known is None or known[0] != version:
        config = encoders.config
        names = ("rope_theta", "rms_norm_eps", "passage_attention", "passage_direction")
        said = {name: getattr(config, name) for name in (*names, "num_attention_heads")}
        digest = hashlib.sha256(repr(sorted(said.items())).encode())
        for name, weight in weights:
            digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
            digest.update(weight.contiguous().cpu().view(torch.uint8).numpy())
        known = _KNOWN[encoders] = (version, digest.hexdigest()[:16])
    return known[1]


def _version(weight: Tensor) -> int:
    return -1 if weight.is_inference() else weight._version

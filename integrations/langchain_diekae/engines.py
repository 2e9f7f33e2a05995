"""Which model answers: loading it once, and telling it from others in a cache's key."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from diekae_rag import DiekaeModel

__all__ = ["find_engine", "fingerprint", "identify_base"]

_LOADED: WeakKeyDictionary[DiekaeModel, str] = WeakKeyDictionary()
_OBJECTS: WeakKeyDictionary[PreTrainedModel, str] = WeakKeyDictionary()


def find_engine(engine: Any, model: str) -> DiekaeModel:
    """The engine itself, or the one that a name stands for.

    ``configurable_fields`` builds an object anew from all of its fields: an engine that comes back
    beside the name it was loaded by is used as it is, beside another name that one is loaded.

    Raises:
        ValueError: Neither was given, or an engine of the user's own and a name.
        TypeError: The engine is no ``DiekaeModel``.
    """
    if engine is None:
        if not model:
            raise ValueError(
                'pass engine= (a DiekaeModel) or model= (a folder, a hub id or "demo").'
            )
        engine = DiekaeModel.from_pretrained(model)
        _LOADED[engine] = model
    if not isinstance(engine, DiekaeModel):
        raise TypeError(
            f"engine must be a DiekaeModel, got {type(engine).__name__}; a name goes into model=."
        )
    if model == _LOADED.get(engine, ""):
        return engine
    if engine in _LOADED:
        return find_engine(None, model)
    raise ValueError(f"engine and model={model!r} were both given; pass one of them.")


def fingerprint(engine: DiekaeModel) -> str:
    """Tells an engine's encoders apart by config and weights, alike in every process.

    Computed once, and again when the weights were trained on.
    """
    said = f"{engine.fingerprint} {engine.encoders.config.to_json_string()}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def identify_base(base: PreTrainedModel) -> dict[str, Any]:
    """Tells base models apart, in JSON values.

    Alike in every process, where a name says which weights these are. A base model without a name
    is like no other, and so is one with PEFT adapters, whose names do not say what they hold.
    Weights that changed after loading, as where adapters were merged into them, are not noticed.
    """
    config, adapters = base.config, sorted(getattr(base, "peft_config", None) or {})
    is_known = bool(config.name_or_path) and not adapters
    return {
        "name": config.name_or_path or "",
        "object": None if is_known else _OBJECTS.setdefault(base, secrets.token_hex(8)),
        "revision": getattr(config, "_commit_hash", None),
        "dtype": str(base.dtype),
        "quantization": config.to_dict().get("quantization_config"),
        "adapters": adapters,
        "active_adapters": _active_adapters(base) if adapters else [],
    }


def _active_adapters(base: PreTrainedModel) -> list[str]:
    """What ``set_adapter`` and ``disable_adapters`` last left switched on."""
    layers: list[Any] = [module for module in base.modules() if hasattr(module, "merged_adapters")]
    used = [layer.active_adapters for layer in layers if not layer.disable_adapters]
    return sorted(set().union(*used))

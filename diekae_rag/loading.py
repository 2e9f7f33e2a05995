"""Reads saved encoders, and refuses weights that are not theirs."""

from __future__ import annotations

import os
from typing import Any

from safetensors import SafetensorError

from diekae_rag.encoders import Encoders

__all__ = ["load_encoders"]


def load_encoders(name_or_path: str | os.PathLike[str]) -> Encoders:
    """Encoders from a folder or a hub id, every weight of them as it was saved.

    Raises:
        ValueError: The weights are damaged, or not those that ``config.json`` describes.

    Example:
        >>> from diekae_rag.locations import demo_folder
        >>> load_encoders(demo_folder() / "encoders").config.sharing
        'shared'
    """
    load: Any = Encoders.from_pretrained  # transformers types it as if it gave one thing only
    try:
        encoders, report = load(
            os.fspath(name_or_path), output_loading_info=True, ignore_mismatched_sizes=True
        )
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {name_or_path} are damaged ({error}); copy the folder again."
        ) from error
    other_sizes = {key for key, *_ in report["mismatched_keys"]}
    if wrong := sorted(report["missing_keys"] | report["unexpected_keys"] | other_sizes):
        raise ValueError(
            f"the weights in {name_or_path} are not those its config.json describes: "
            f"{', '.join(wrong[:5])}. Copy the folder again, or save the encoders anew."
        )
    loaded: Encoders = encoders
    return loaded

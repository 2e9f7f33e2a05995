"""Base models with weights of their own: by adapters, or trained in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel

__all__ = ["load_full", "load_lora"]


def load_lora(folder: Path, base: PreTrainedModel) -> tuple[PreTrainedModel, int]:
    """A base model with PEFT's adapters merged into its weights.

    Args:
        folder: As saved by ``PeftModel.save_pretrained``.
        base: What the adapters were trained for; it is changed.

    Returns:
        The model, and how many weights the adapters have.

    Raises:
        FileNotFoundError: There are no adapters in the folder.
        ImportError: PEFT is not installed.
    """
    if not (folder / "adapter_config.json").exists():
        raise FileNotFoundError(
            f"{folder} holds no adapters: adapter_config.json is not there. Name a folder that "
            "PEFT's save_pretrained wrote."
        )
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ImportError('adapters need peft: pip install "diekae-rag[train]"') from error
    before = _num_weights(base)
    with_adapters: Any = PeftModel.from_pretrained(base, str(folder))
    count = _num_weights(with_adapters) - before
    merged: PreTrainedModel = with_adapters.merge_and_unload()
    return merged, count


def load_full(folder: Path, **base_options: Any) -> tuple[PreTrainedModel, int]:
    """A base model all of whose weights were trained, and how many these are.

    Args:
        folder: As saved by ``PreTrainedModel.save_pretrained``.
        **base_options: Given to ``AutoModelForCausalLM.from_pretrained``.

    Raises:
        FileNotFoundError: There is no model in the folder.
    """
    if not (folder / "config.json").exists():
        raise FileNotFoundError(
            f"{folder} holds no model: config.json is not there. Name a folder that transformers' "
            "save_pretrained wrote."
        )
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **base_options)
    return model, _num_weights(model)


def _num_weights(model: Any) -> int:
    return sum(weight.numel() for weight in model.parameters())

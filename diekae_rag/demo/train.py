"""``diekae demo train``: everything that ships, from a seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.demo.phases import Phase
from diekae_rag.demo.reader import DEMO_WORDING, READER_PHASES, train_reader
from diekae_rag.demo.stages import STAGES, Stage, drawing
from diekae_rag.demo.tokenizer import train_tokenizer
from diekae_rag.encoders import Encoders
from diekae_rag.files import new_folder, write_json
from diekae_rag.training.loop import default_accelerator
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.stages import StageRun, train_stages

__all__ = ["build_encoders", "pack_weights", "train_demo", "train_encoders"]


def build_encoders(base: LlamaForCausalLM, seed: int) -> Encoders:
    """The demo's encoders: a shared trunk, independent passages, continuous injection."""
    torch.manual_seed(seed)
    return Encoders(
        DiekaeConfig(
            base_model_name_or_path="../reader",
            base_hidden_size=base.config.hidden_size,
            base_num_hidden_layers=base.config.num_hidden_layers,
            layers=list(range(base.config.num_hidden_layers)),
            hidden_size=128,
            intermediate_size=288,
            num_hidden_layers=5,
            num_attention_heads=4,
            sharing="shared",
            positions="all",
            passage_attention="independent",
            passage_direction="both",
            max_passage_tokens=256,
            max_passages=32,
            wording=DEMO_WORDING.to_dict(),
        )
    )


def train_encoders(
    base: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    accelerator: Accelerator,
    *,
    seed: int = 0,
    stages: tuple[Stage, ...] = STAGES,
    is_compiled: bool = True,
    show_progress: bool = True,
) -> tuple[Encoders, dict[str, float]]:
    """Trains the encoders stage by stage, or goes on; each stage's end is kept in ``folder``.

    Returns:
        The encoders and the seconds each stage took.
    """
    encoders = build_encoders(base, seed)
    last = encoders.get_submodule(f"up.{encoders.config.layers[-1]}")
    # At zero the norm after it would see nothing, and its gradient would be without bound.
    nn.init.normal_(last.get_parameter("weight"), std=0.02)
    runs = [
        StageRun(
            stage.name,
            drawing(stage, tokenizer, encoders.config, seed),
            Schedule(stage.num_steps, stage.learning_rate, stage.warmup_steps, optimizer="muon"),
        )
        for stage in stages
    ]
    seconds = train_stages(
        base,
        encoders,
        runs,
        folder,
        accelerator,
        is_compiled=is_compiled,
        show_progress=show_progress,
    )
    return encoders, seconds


def train_demo(
    folder: str | Path,
    *,
    seed: int = 0,
    phases: tuple[Phase, ...] = READER_PHASES,
    stages: tuple[Stage, ...] = STAGES,
    is_compiled: bool = True,
    show_progress: bool = True,
) -> dict[str, float]:
    """Rebuilds what ships: tokenizer, reader, encoders after distillation and after fine-tuning.

    A run that was stopped goes on where it was. What is ready to ship is in ``folder/weights``,
    in bfloat16.

    Args:
        folder: Where everything goes.
        seed: Of all chance.
        phases: Of the reader's training.
        stages: Of the encoders'.
        is_compiled: Compile what is trained: several times as fast, after a minute.
        show_progress: Draw progress bars.

    Returns:
        The seconds each part took.

    Raises:
        ValueError: The folder holds a run of another seed.
    """
    folder = Path(folder)
    _check_seed(folder, seed)
    accelerator = default_accelerator(mixed_precision="bf16", cpu=not torch.cuda.is_available())
    if not (folder / "tokenizer").exists():
        with new_folder(folder / "tokenizer") as temporary:
            train_tokenizer(seed).save_pretrained(temporary)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    options: dict[str, Any] = {
        "seed": seed,
        "is_compiled": is_compiled,
        "show_progress": show_progress,
    }
    reader, reader_seconds = train_reader(
        tokenizer, folder / "reader", accelerator, phases=phases, **options
    )
    encoders, seconds = train_encoders(
        reader, tokenizer, folder, accelerator, stages=stages, **options
    )
    distilled = Encoders.from_pretrained(folder / "distill" / "encoders")
    report = {"reader": reader_seconds, **seconds}
    pack_weights(folder / "weights", tokenizer, reader, encoders, distilled, report)
    return report


def _check_seed(folder: Path, seed: int) -> None:
    """Notes a run's seed, and refuses to go on with another."""
    record = folder / "run.json"
    if record.exists() and (was := json.loads(record.read_text())["seed"]) != seed:
        raise ValueError(
            f"{folder} holds a run of seed {was}, not {seed}; name another folder, or go on with "
            f"seed {was}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, {"seed": seed})


def pack_weights(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    reader: LlamaForCausalLM,
    encoders: Encoders,
    distilled: Encoders,
    seconds: dict[str, float],
) -> None:
    """Lays out what ships: weights in bfloat16, half the space, computed with in full precision."""
    models = {"reader": reader, "encoders": encoders, "encoders_distilled": distilled}
    with new_folder(folder) as temporary:
        tokenizer.save_pretrained(temporary / "reader")
        for name, model in models.items():
            nn.Module.to(model, torch.bfloat16)
            model.save_pretrained(temporary / name)
            config = json.loads((temporary / name / "config.json").read_text())
            write_json(temporary / name / "config.json", {**config, "dtype": "float32"})
        write_json(temporary / "training.json", {"seconds": seconds})

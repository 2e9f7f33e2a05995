"""Encoders that edit the reader of facts: the demo's, trained on with stated edits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from diekae_rag.counterfact.facts import Facts
from diekae_rag.counterfact.mixture import ASKING, Asking
from diekae_rag.counterfact.packing import Rows
from diekae_rag.encoders import Encoders
from diekae_rag.files import new_folder
from diekae_rag.locations import demo_folder
from diekae_rag.training.schedule import Schedule
from diekae_rag.training.stages import OBJECTIVES, StageRun, train_stages

__all__ = ["EDIT_STAGES", "EditStage", "train_edit_encoders"]

_LENGTH = 144
_ONLY_EDITS = Asking(prompt=0.9, paraphrase=0.9, neighbour=0.3, is_filled=False)


@dataclass(frozen=True, slots=True)
class EditStage:
    """One stage: its steps, its peak rate, the edits in each row, and how they are asked about."""

    name: str
    num_steps: int
    learning_rate: float
    num_stated: tuple[int, ...]
    asking: Asking = ASKING


EDIT_STAGES = (
    EditStage("warmup", 500, 1e-3, (2, 3, 2, 3) * 6, _ONLY_EDITS),
    EditStage("distill", 150, 5e-4, (1, 2, 1, 2, 3, 4) * 4),
    EditStage("finetune", 700, 5e-4, (1, 2, 1, 2, 3, 4) * 4),
)
"""Warm-up asks about edits and little else: the encoders alone know no facts. The stages after it
ask about unedited facts as well, and there the encoders learn to keep silent."""


def train_edit_encoders(
    base: LlamaForCausalLM,
    facts: Facts,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    accelerator: Accelerator,
    *,
    stages: Sequence[EditStage] = EDIT_STAGES,
    is_compiled: bool = True,
    show_progress: bool = True,
) -> Encoders:
    """Trains the encoders stage by stage, or goes on, and keeps them in ``folder/encoders``.

    They begin as the demo's, so the reader must be as wide and as deep as the demo's.
    """
    encoders: Encoders = Encoders.from_pretrained(demo_folder() / "encoders")
    encoders.config.base_model_name_or_path = "../base"
    runs = []
    for stage in stages:
        rows = Rows(
            facts,
            tokenizer,
            encoders.config,
            stage.num_stated,
            length=_LENGTH,
            asking=stage.asking,
            seed=stage.name,
        )
        draw = rows.draw(needs_stuffed=OBJECTIVES[stage.name].needs_stuffed)
        schedule = Schedule(stage.num_steps, stage.learning_rate, 20, optimizer="muon")
        runs.append(StageRun(stage.name, draw, schedule))
    train_stages(
        base,
        encoders,
        runs,
        folder,
        accelerator,
        is_compiled=is_compiled,
        show_progress=show_progress,
        checkpoint_every=100,
    )
    with new_folder(folder / "encoders") as temporary:
        encoders.save_pretrained(temporary)
    return encoders

"""A whole training run from a plan: records in, encoders and what they are measured against out."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.data.records import Record, RecordError, read_records
from diekae_rag.encoders import Encoders
from diekae_rag.files import new_folder
from diekae_rag.training.baselines import add_lora, lora_rank, num_trainable
from diekae_rag.training.card import write_card
from diekae_rag.training.dumping import ensure_targets
from diekae_rag.training.ends import load_ends
from diekae_rag.training.examples import Examples
from diekae_rag.training.loading import (
    base_window,
    check_base,
    encoder_config,
    load_base,
    load_tokenizer,
)
from diekae_rag.training.loop import default_accelerator, train
from diekae_rag.training.objectives import Batch
from diekae_rag.training.plan import BASELINES, StagePlan, TrainingPlan, read_plan
from diekae_rag.training.plots import plot_losses
from diekae_rag.training.provenance import check_plan, describe_data, write_provenance
from diekae_rag.training.stages import OBJECTIVES, StageRun, evaluation, train_stages
from diekae_rag.training.targets import TargetStore
from diekae_rag.training.tuning import Tuning

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["run_plan"]


def run_plan(
    plan: TrainingPlan, folder: str | Path, *, show_progress: bool = True
) -> dict[str, float]:
    """Trains what a plan says, or goes on with it.

    Args:
        plan: The run.
        folder: Where everything goes: ``encoders`` (after the last stage), a folder for each
            stage, ``plan.json``, ``data.json``, ``environment.json``, ``README.md``, ``loss.png``.
        show_progress: Draw progress bars.

    Returns:
        The seconds each stage took.

    Raises:
        ValueError: The folder holds a run of another plan, or the plan does not fit its base model.
        RecordError: A record cannot be used.
        TrainingError: Training cannot go on; the message says what to try.
    """
    folder = Path(folder)
    if (begun := folder / "plan.json").exists():
        check_plan(read_plan(begun).to_dict(), plan, folder)
    accelerator = default_accelerator(
        mixed_precision=plan.precision,
        log_with=list(plan.log_with) or None,
        project_dir=folder,
        cpu=not torch.cuda.is_available(),
    )
    run = _Run(plan, folder, accelerator, show_progress)
    if plan.log_with:
        accelerator.init_trackers("diekae", config={"plan": json.dumps(plan.to_dict())})
    seconds = run.train_encoders()
    for stage in plan.stages:
        if stage.name in BASELINES:
            seconds[stage.name] = run.train_baseline(stage)
    if accelerator.is_main_process:
        plot_losses(folder, [stage.name for stage in plan.stages])
        write_card(folder, plan, run.config, run.data)
        if (folder / "encoders").exists():
            shutil.copy(folder / "README.md", folder / "encoders" / "README.md")
    accelerator.wait_for_everyone()
    if plan.log_with:
        accelerator.end_training()
    return seconds


class _Run:
    """What the parts of a run share."""

    def __init__(
        self, plan: TrainingPlan, folder: Path, accelerator: Accelerator, show_progress: bool
    ) -> None:
        self.plan, self.folder, self.accelerator = plan, folder, accelerator
        self.show_progress = show_progress
        check_base(plan.base)
        read = {name: read_records(name) for name in (*plan.data, *plan.valid)}
        counts = {name: len(records) for name, records in read.items()}
        self.data: dict[str, Sequence[Mapping[str, Any]]] = {
            "train": describe_data(plan.data, counts),
            "valid": describe_data(plan.valid, counts),
        }
        self.records = {
            "train": [record for name in plan.data for record in read[name]],
            "valid": [record for name in plan.valid for record in read[name]],
        }
        self._examples: dict[str, Examples] = {}
        _check_passages(self.records["train"])
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(plan)
        self.encoders = self._build_encoders()
        if accelerator.is_main_process:
            write_provenance(folder, plan, self.data)

    @property
    def config(self) -> DiekaeConfig:
        """The encoders' config."""
        return self.encoders.config

    @property
    def loop_options(self) -> dict[str, Any]:
        """What every stage gives to ``train``."""
        plan = self.plan
        return {
            "accelerator": self.accelerator,
            "evaluate_every": plan.evaluate_every,
            "patience": plan.patience,
            "checkpoint_every": plan.checkpoint_every,
            "num_checkpoints": plan.num_checkpoints,
            "show_progress": self.show_progress,
        }

    def examples(
        self,
        which: str,
        *,
        is_stuffed: bool,
        targets: TargetStore | None = None,
        stage: str = "",
    ) -> Examples:
        """The records of ``train`` or ``valid`` as batches, by number.

        Fine-tuning and baselines see them in one order.
        """
        if which not in self._examples:
            self._examples[which] = Examples(
                self.records[which],
                self.tokenizer,
                self.config,
                window=base_window(self.plan),
                batch_size=self.plan.batch_size,
                questions_per_row=self.plan.questions_per_row,
            )
        return self._examples[which].again(
            needs_stuffed=is_stuffed,
            targets=targets,
            seed=f"{self.plan.seed}:{'finetune' if stage in BASELINES else stage}",
        )

    def train_encoders(self) -> dict[str, float]:
        """The stages of the encoders, one after the other."""
        stages = [stage for stage in self.plan.stages if stage.name not in BASELINES]
        if not stages:
            return {}
        base, stores = self._base_and_targets(stages)
        runs = [self._stage_run(stage, stores.get(stage.name, {})) for stage in stages]
        seconds = train_stages(
            base,
            self.encoders,
            runs,
            self.folder,
            is_compiled=self.plan.is_compiled,
            **self.loop_options,
        )
        if self.accelerator.is_main_process:
            with new_folder(self.folder / "encoders") as temporary:
                self.encoders.save_pretrained(temporary)
        return seconds

    def train_baseline(self, stage: StagePlan) -> float:
        """The base model itself, in full or by LoRA with as many weights as the encoders have."""
        torch.manual_seed(self.plan.seed)
        model: Any = load_base(self.plan, self.accelerator.device, is_trained=stage.name == "full")
        if stage.name == "lora":
            model = add_lora(model, lora_rank(model, num_trainable(self.encoders)))
        examples = self.examples("train", is_stuffed=True, stage=stage.name)
        objective = Tuning(model)
        place = self.folder / stage.name
        seconds = train(
            stage.name,
            objective,
            lambda number: examples(number).for_teacher,
            self._schedule(stage, examples),
            place,
            evaluate=evaluation(
                objective,
                [batch.for_teacher for batch in self._held_out(is_stuffed=True)],
                self.accelerator,
            ),
            **self.loop_options,
        )
        if self.accelerator.is_main_process:
            with new_folder(place / "model") as temporary:
                model.save_pretrained(temporary)
                self.tokenizer.save_pretrained(temporary)
        self.accelerator.wait_for_everyone()
        return seconds

    def _build_encoders(self) -> Encoders:
        torch.manual_seed(self.plan.seed)
        if self.plan.initial is not None:
            if self.plan.encoders:
                raise ValueError(
                    "encoders to begin with have a config already: leave out the other."
                )
            encoders: Encoders = Encoders.from_pretrained(self.plan.initial)
            named = encoder_config(self.plan).base_model_name_or_path
            encoders.config.base_model_name_or_path = named
            return encoders
        encoders = Encoders(encoder_config(self.plan))
        if self.plan.stages[0].name == "warmup":
            # At zero the norm after it would see nothing, and its gradient would be without bound.
            for layer in encoders.config.layers:
                if encoders.config.sharing == "separate" or layer == encoders.config.layers[-1]:
                    up = encoders.get_submodule(f"up.{layer}").get_parameter("weight")
                    nn.init.normal_(up, std=0.02)
        return encoders

    def _base_and_targets(
        self, stages: Sequence[StagePlan]
    ) -> tuple[PreTrainedModel, dict[str, dict[str, TargetStore]]]:
        """The base model, or its two ends where no more is needed, and the targets on disk."""
        loaded: list[PreTrainedModel] = []

        def base() -> PreTrainedModel:
            if not loaded:
                loaded.append(load_base(self.plan, self.accelerator.device))
            return loaded[0]

        stores: dict[str, dict[str, TargetStore]] = {}
        taught = [s for s in stages if OBJECTIVES[s.name].needs_stuffed and not s.is_on_policy]
        for stage in taught if self.plan.targets is not None else ():
            place = Path(str(self.plan.targets)) / stage.name
            stores[stage.name] = {
                name: ensure_targets(
                    self.examples(name, is_stuffed=True),
                    stage.name,
                    self.encoders,
                    base,
                    place / name,
                    self.accelerator,
                    show_progress=self.show_progress,
                )
                for name, records in self.records.items()
                if records
            }
        if stores and all(stage.name == "warmup" or stage.name in stores for stage in stages):
            ends = Path(str(self.plan.targets)) / next(iter(stores)) / "train" / "ends"
            return load_ends(ends, self.accelerator.device), stores
        return base(), stores

    def _stage_run(self, stage: StagePlan, stores: Mapping[str, TargetStore]) -> StageRun:
        needs_stuffed = OBJECTIVES[stage.name].needs_stuffed and not stores
        examples = self.examples(
            "train", is_stuffed=needs_stuffed, targets=stores.get("train"), stage=stage.name
        )
        options = {"is_on_policy": True} if stage.is_on_policy else {}
        held_out = self._held_out(is_stuffed=needs_stuffed, targets=stores.get("valid"))
        return StageRun(stage.name, examples, self._schedule(stage, examples), held_out, options)

    def _held_out(self, *, is_stuffed: bool, targets: TargetStore | None = None) -> list[Batch]:
        if not self.records["valid"]:
            return []
        examples = self.examples("valid", is_stuffed=is_stuffed, targets=targets)
        return list(examples.all_once())

    def _schedule(self, stage: StagePlan, examples: Examples) -> Any:
        world = self.accelerator.num_processes
        return stage.schedule(examples.batches_per_epoch, self.plan, world)


def _check_passages(records: Sequence[Record]) -> None:
    """Says how many records have no passages; encoders learn nothing from those.

    Raises:
        RecordError: None has any.
    """
    empty = sum(not record.passages for record in records)
    if empty == len(records):
        raise RecordError(
            f"none of the {empty} records has passages, and these are what encoders read; add "
            '"passages": a list of texts, to each record.'
        )
    if empty:
        warnings.warn(
            f"{empty} of {len(records)} records have no passages; encoders learn nothing from "
            "them.",
            stacklevel=2,
        )

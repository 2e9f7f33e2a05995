"""Edits trained into weights: those of encoders of their own, never the base model's."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.config import DiekaeConfig
from diekae_rag.editing.edit import Edit
from diekae_rag.editing.questions import EditQuestions
from diekae_rag.editing.wordings import Wordings
from diekae_rag.editing.written import WRITING, base_fingerprint
from diekae_rag.encoders import Encoders
from diekae_rag.families import input_embeddings
from diekae_rag.files import taking_turns
from diekae_rag.injection import Injection
from diekae_rag.prompting import Wording, decode
from diekae_rag.states.fingerprint import fingerprint
from diekae_rag.training.base import BaseParts
from diekae_rag.training.editing import Editing, pack_edits
from diekae_rag.training.loop import default_accelerator, train
from diekae_rag.training.objectives import Batch
from diekae_rag.training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["trained_on_edits", "usual_steps"]


@contextmanager
def trained_on_edits(
    base: PreTrainedModel,
    encoders: Encoders,
    tokenizer: PreTrainedTokenizerBase,
    edits: Sequence[Edit],
    folder: Path | None = None,
    *,
    num_steps: int | None = None,
    learning_rate: float = 3e-3,
    edits_per_step: int = 64,
    keep: Sequence[str] = (),
    examples: Iterable[Mapping[str, Any]] = (),
    seed: int = 0,
    checkpoint_every: int = 100,
    accelerator: Accelerator | None = None,
    show_progress: bool = False,
) -> Iterator[Encoders]:
    """Trains encoders that read the prompt alone, and answer it as edited (the paper's way).

    They begin as the given ones, with up-projections of zero. Stage 2's loss writes the edits;
    beside it stands what is not to change. The base model is not changed.

    Args:
        base: The frozen base model.
        encoders: What they are shaped like, and begin as.
        tokenizer: The base model's.
        edits: What is written, no two of them about the same.
        folder: Where a run that is stopped is kept, to go on there; gone when the block ends well.
        num_steps: Steps; as many as make sense for so many edits when not given.
        learning_rate: Peak rate.
        edits_per_step: Edits asked about in a step, and as many questions beside them.
        keep: Texts, prompts perhaps, of which nothing is to change.
        examples: Facts like theirs that are not edited, and in which other words they are asked
            for, as ``Edits.calibrate`` takes them: every other question is then asked so, and what
            the examples say is to be kept.
        seed: Of chance.
        checkpoint_every: Steps between checkpoints.
        accelerator: Devices and precision; a plain one when not given.
        show_progress: Draw a progress bar on stderr.

    Yields:
        The encoders, with ``knowledge_in="weights"``.

    Raises:
        ValueError: There are no edits, a number makes no sense, or a text to be kept is too long.
        TypeError: ``keep`` is a single text.
        ImportError: accelerate is not installed.
    """
    for name, value in (
        ("num_steps", num_steps),
        ("edits_per_step", edits_per_step),
        ("checkpoint_every", checkpoint_every),
    ):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if isinstance(keep, str):
        raise TypeError("keep must be a list of texts, got one str; wrap it.")

    def any_word(rng: random.Random) -> str:
        return decode(tokenizer, [rng.randrange(len(tokenizer))]).strip()

    examples = list(examples)
    questions = EditQuestions(edits, edits_per_step, keep, Wordings(examples), any_word, seed)
    count = questions.num_edits
    num_steps = num_steps or usual_steps(len(questions.edits), count)
    schedule = Schedule(num_steps, learning_rate, 10, decay_share=0.5, optimizer="muon")
    own = _begin(encoders)

    def draw(number: int) -> Batch:
        return pack_edits(*questions.draw(number), tokenizer, own.config)

    _check_length(questions.keep, base, tokenizer, own.config)
    said = [[edit.subject, edit.prompt, edit.old, edit.new] for edit in edits]
    of = fingerprint(encoders, input_embeddings(base).weight, tokenizer), base_fingerprint(base)
    run = [of, said, count, list(keep), examples, seed, num_steps, learning_rate]
    digest = hashlib.sha256(json.dumps(run, default=str).encode()).hexdigest()[:16]
    accelerator = accelerator or default_accelerator(cpu=base.device.type == "cpu")
    with ExitStack() as stack:
        if folder is None:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            place = folder / f"{WRITING}{digest}"
        if accelerator.num_processes == 1:  # whoever writes the same is waited for
            _wait(stack, place)
        with _frozen(base), torch.inference_mode(False), torch.enable_grad():
            injection = Injection(base, own)
            try:
                train(
                    "writing edits",
                    Editing(BaseParts(base), own, injection),
                    draw,
                    schedule,
                    place,
                    accelerator=accelerator,
                    checkpoint_every=checkpoint_every,
                    show_progress=show_progress,
                )
            finally:
                injection.detach()
        yield nn.Module.eval(own)
        shutil.rmtree(place, ignore_errors=True)


def _wait(stack: ExitStack, place: Path) -> None:
    """Holds a folder that somebody who had it before may have deleted meanwhile."""
    while True:
        place.mkdir(parents=True, exist_ok=True)
        with ExitStack() as turn, suppress(FileNotFoundError):
            before = place.stat().st_ino
            turn.enter_context(taking_turns(place))
            if place.stat().st_ino == before:
                stack.push(turn.pop_all())
                return


def usual_steps(num_edits: int, edits_per_step: int = 64) -> int:
    """As many steps as make sense for so many edits.

    Example:
        >>> usual_steps(1), usual_steps(10_000)
        (150, 3900)
    """
    return 150 + round(24 * num_edits / edits_per_step)


def _begin(encoders: Encoders) -> Encoders:
    """A copy that reads the prompt alone and adds nothing yet."""
    settings: dict[str, Any] = encoders.config.to_dict()
    settings = {name: settings[name] for name in DiekaeConfig.__annotations__ if name in settings}
    config = DiekaeConfig(**{**settings, "knowledge_in": "weights", "passage_attention": "joint"})
    own = Encoders(config)
    own.load_state_dict(encoders.state_dict())
    for up in own.up.values():
        nn.init.zeros_(up.get_parameter("weight"))
    nn.Module.to(own, encoders.device)
    return own


def _check_length(
    texts: Sequence[str],
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: DiekaeConfig,
) -> None:
    """Refuses texts that the base model could not read."""
    window = int(getattr(base.config, "max_position_embeddings", 0) or 1 << 20)
    wording = Wording(**(config.wording or {}))
    for text, ids in zip(texts, wording.tokenize_prompts(tokenizer, texts), strict=True):
        if len(ids) + 2 > window:
            raise ValueError(
                f"a text to be kept has {len(ids)} tokens, the base model has {window} positions; "
                f"cut it: {text[:40]!r}..."
            )


@contextmanager
def _frozen(base: PreTrainedModel) -> Iterator[None]:
    """Leaves the base model's modes as they were, whatever training does to them."""
    were_trained, was_training = [p.requires_grad for p in base.parameters()], base.training
    try:
        yield
    finally:
        for parameter, is_trained in zip(base.parameters(), were_trained, strict=True):
            parameter.requires_grad_(is_trained)
        nn.Module.train(base, was_training)

"""A model that answers, beside the same base model without hooks, and what both are asked."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from diekae_rag.answers import Mode
from diekae_rag.bench.answering.setting import AnswerSetting
from diekae_rag.bench.setting import SHAPES
from diekae_rag.bench.workload import build_encoders, build_workload, draw_text, number_tokenizer
from diekae_rag.demo.worlds import World
from diekae_rag.model import DiekaeModel
from diekae_rag.passages import as_passages
from diekae_rag.requests import Request

__all__ = ["Answerer", "Asked", "TooLongError", "build_answerer", "build_asked"]

_NUMBERS = 342  # the numbers below it are one token each for the embedder that ships, too
_Draw = Callable[[random.Random, int], str]


class TooLongError(ValueError):
    """What is to be read is longer than what the base model or the encoders can read."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """The model of a setting.

    Args:
        model: Who answers.
        bare: The base model again, on the same weights and without our hooks.
        draw: Gives a text of about so many tokens, and never of more.
    """

    model: DiekaeModel
    bare: PreTrainedModel
    draw: _Draw

    def draw_passages(self, rng: random.Random, sizes: Sequence[int]) -> list[str]:
        """Passages that are so many tokens long as they are worded."""
        around = len(self.model.wording.tokenize_passages(self.model.tokenizer, [""])[0])
        return [self.draw(rng, max(1, size - around)) for size in sizes]


@dataclass(frozen=True, slots=True)
class Asked:
    """What every arm is given.

    Args:
        setting: Lengths and precision.
        model: Who answers.
        bare: The base model again, on the same weights and without our hooks.
        prompts: A prompt for each row.
        passages: For each row, passages of its own.
    """

    setting: AnswerSetting
    model: DiekaeModel
    bare: PreTrainedModel
    prompts: list[str]
    passages: list[list[str]]

    def requests(self, mode: Mode) -> list[Request]:
        """Each row, ready to be read.

        Raises:
            TooLongError: Not all of it can be read.
        """
        setting, made = self.setting, []
        for prompt, texts in zip(self.prompts, self.passages, strict=True):
            passages = as_passages(texts)
            request = self.model.prepare(prompt, passages, mode, setting.new_tokens, warns=False)
            if request.truncated_tokens or request.dropped_passages:
                raise TooLongError(
                    f"{setting.name} cannot read {setting.knowledge_tokens} tokens in "
                    f"{setting.num_passages} passages ({mode}): {request.truncated_tokens} tokens "
                    "would be cut; ask for fewer, or for more and shorter passages."
                )
            made.append(request)
        return made


def build_asked(setting: AnswerSetting) -> Asked:
    """Loads or makes the model of a setting, and draws its prompts and passages.

    No sequence is ended by the model, so that answers have exactly the length asked for.

    Raises:
        DoesNotFitError: The weights take more memory than there is.
        FileNotFoundError: There are no such encoders.
    """
    answerer = build_answerer(setting)
    rng = random.Random(0)
    rows = range(setting.batch_size)
    prompts = [answerer.draw(rng, setting.prompt_tokens) for _ in rows]
    passages = [answerer.draw_passages(rng, setting.passage_sizes) for _ in rows]
    return Asked(setting, answerer.model, answerer.bare, prompts, passages)


def build_answerer(setting: AnswerSetting) -> Answerer:
    """Loads or makes the model of a setting, which ends no sequence by itself.

    Raises:
        DoesNotFitError: The weights take more memory than there is.
        FileNotFoundError: There are no such encoders.
    """
    return _loaded(setting) if setting.model else _made(setting)


def _made(setting: AnswerSetting) -> Answerer:
    """A shape's base model with random weights and encoders that read each passage alone."""
    workload = build_workload(setting.for_shape())
    encoders = build_encoders(
        workload,
        passage_attention="independent",
        sharing=setting.sharing,
        positions=setting.positions,
        max_passage_tokens=max(setting.passage_sizes) + 1,  # so that none counts as cut
        max_passages=setting.num_passages,
    )
    vocabulary = SHAPES[setting.shape].vocab_size
    # As it comes from a folder. Frozen, torch would copy the head's weights at every first token.
    workload.base.requires_grad_(True)
    bare = _bare(workload.base)
    model = DiekaeModel(workload.base, number_tokenizer(vocabulary), encoders)
    return Answerer(model, bare, lambda rng, count: draw_text(rng, _NUMBERS, count))


def _loaded(setting: AnswerSetting) -> Answerer:
    """Encoders with their base model, asked about an invented world."""
    options: dict[str, Any] = {} if setting.dtype == "auto" else {"dtype": setting.dtype}
    if setting.device != "cpu" and torch.cuda.is_available():
        options["device_map"] = "cuda"
    model = DiekaeModel.from_pretrained(setting.model, **options)
    model.detach()  # until the base model is there a second time
    nn.Module.to(model.encoders, model.base.dtype)
    bare = _bare(model.base)
    hooked = DiekaeModel(model.base, model.tokenizer, model.encoders)
    return Answerer(hooked, bare, _world(model.tokenizer))


def _bare(base: PreTrainedModel) -> PreTrainedModel:
    """The same model on the same weights, made before anything is hooked to it."""
    # An id that no row of logits has: answers run to their last token.
    generation: Any = base.generation_config
    generation.eos_token_id = base.get_input_embeddings().num_embeddings
    return copy.deepcopy(base, {id(weight): weight for weight in base.parameters()})


def _world(tokenizer: PreTrainedTokenizerBase) -> _Draw:
    """Texts of an invented world, of about as many tokens as wanted."""
    text = "\n".join(document.text for document in World(0, 2000).documents)
    ids = tokenizer(text, add_special_tokens=False).input_ids

    def draw(rng: random.Random, count: int) -> str:
        start = rng.randrange(max(1, len(ids) - count))
        drawn = str(tokenizer.decode(ids[start : start + count]))
        while len(tokenizer(drawn, add_special_tokens=False).input_ids) > count:
            drawn = drawn[:-1]
        return drawn

    return draw

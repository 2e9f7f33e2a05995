"""The way in: a frozen base model, its encoders, and one object that answers with them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from diekae_rag.answering import answer_batch
from diekae_rag.answers import MODE_CHOICES, Answer, ModeChoice
from diekae_rag.batching import Batch, in_batches
from diekae_rag.calibrating import calibrate, calibration_file, load_calibration
from diekae_rag.calibration import Calibration
from diekae_rag.choosing import choose
from diekae_rag.completing import Completions
from diekae_rag.config import DiekaeConfig
from diekae_rag.editing.edits import Edits
from diekae_rag.editing.written import WrittenEdits
from diekae_rag.encoders import Encoders
from diekae_rag.families import input_embeddings
from diekae_rag.files import new_files
from diekae_rag.generation import GenerationOptions, end_tokens
from diekae_rag.injected import InjectedModel
from diekae_rag.loading import load_encoders
from diekae_rag.locations import locate
from diekae_rag.passages import Passage, as_passages
from diekae_rag.scoring import score_rows
from diekae_rag.stopping import Watch
from diekae_rag.streaming import AnswerStream

__all__ = ["DiekaeModel", "PassagesLike"]

PassagesLike = Iterable[Passage | str | Mapping[str, Any]]


class DiekaeModel(InjectedModel):
    """A frozen language model that answers from passages it never reads.

    The base model is used as it is: outside a call its outputs are bit-identical to those it had
    before, and ``detach`` takes even the hooks away. ``edits`` (an ``Edits``) holds facts that
    are to be answered otherwise from the next call on, for the prompts that mean them.

    Args:
        base: A decoder-only ``transformers`` model of a family that works (``FAMILIES``).
        tokenizer: Its tokenizer.
        encoders: Encoders trained for it.

    Raises:
        ValueError: The encoders do not belong to this base model.

    Example:
        >>> model = DiekaeModel.from_pretrained("demo")
        >>> passage = "Drola Brenk was born in Kolwick. Drola Brenk works as a nurse."
        >>> answer = model.generate("Where was Drola Brenk born?", [passage])
        >>> answer.usage.knowledge_tokens_kept_out > answer.usage.prompt_tokens
        True
    """

    def __init__(
        self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, encoders: Encoders
    ) -> None:
        super().__init__(base, tokenizer, encoders)
        self.calibration: Calibration | None = None
        self.edits = Edits()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        base: PreTrainedModel | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        **base_options: Any,
    ) -> DiekaeModel:
        """Loads encoders and the base model that they name.

        Args:
            name_or_path: A folder, a hub id, or ``"demo"`` for the reader that ships.
            base: A base model that is loaded already.
            tokenizer: Its tokenizer; the one saved with the base model when not given.
            **base_options: Given to ``AutoModelForCausalLM.from_pretrained`` (``dtype``,
                ``device_map``, ``quantization_config``, ...).

        Raises:
            FileNotFoundError: There is no such folder, or it holds no encoders.
            ValueError: The encoders name no base model and none was passed, or it does not fit.
        """
        if base is not None and base_options:
            raise TypeError(f"base is loaded already; {sorted(base_options)} came too late.")
        if "revision" in base_options:
            raise TypeError(
                "the base model's revision is the one that the encoders' config names; to use "
                "another, load the base yourself and pass base=."
            )
        place = locate(name_or_path)
        encoders = load_encoders(place.encoders)
        if base is None or tokenizer is None:
            name, revision = place.base(encoders.config)
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(name, revision=revision)
            if base is None:
                base = AutoModelForCausalLM.from_pretrained(name, revision=revision, **base_options)
        nn.Module.to(encoders, input_embeddings(base).weight.device)
        return cls(base.eval(), tokenizer, encoders)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Saves the encoders and their config: nothing of the base model but its name.

        Encoders that name no base model, or one by its place beside them, name the one they are
        saved with from where it was loaded.
        """
        named = self.encoders.config.base_model_name_or_path
        loaded = str(self.base.config.name_or_path)
        with new_files(folder) as temporary:
            self.encoders.save_pretrained(temporary)
            if loaded and (not named or named.startswith(".")):
                saved = DiekaeConfig.from_pretrained(temporary)
                is_folder = os.path.isdir(loaded)
                saved.base_model_name_or_path = os.path.realpath(loaded) if is_folder else loaded
                saved.base_model_revision = getattr(self.base.config, "_commit_hash", None)
                saved.save_pretrained(temporary)

    @overload
    def generate(
        self,
        prompt: str,
        passages: PassagesLike | None = ...,
        mode: ModeChoice = ...,
        is_worded: bool = ...,
        **options: Any,
    ) -> Answer: ...
    @overload
    def generate(
        self,
        prompt: Sequence[str],
        passages: Sequence[PassagesLike | None] | None = ...,
        mode: ModeChoice = ...,
        is_worded: bool = ...,
        **options: Any,
    ) -> list[Answer]: ...
    def generate(
        self,
        prompt: str | Sequence[str],
        passages: Any = None,
        mode: ModeChoice = "inject",
        is_worded: bool = False,
        **options: Any,
    ) -> Answer | list[Answer]:
        """Answers one prompt, or several side by side.

        Of more prompts than ``batch_size``, those of like length run together; answers come in the
        order of the prompts. A seed makes the same call give the same answers, while what is drawn
        for a prompt depends on the others in the list.

        Edits that a prompt means (``edits``) are read before its passages, and go their way; with
        ``mode="none"`` they alone are read, and injected. The answer's ``edits`` names them.

        Args:
            prompt: A text, or a list of them.
            passages: For a text, a list of passages (``Passage``, ``str`` or mapping), best first;
                for a list, one such list (or ``None``) per prompt.
            mode: ``"inject"``: passages go through the encoders; ``"stuff"``: into the prompt;
                ``"combine"``: both; ``"none"``: nowhere; ``"auto"``: injected or stuffed, whichever
                has the first token sooner, by what ``calibrate`` measured on this device; which it
                was is the answer's ``mode``, and why its ``usage.mode_reason``.
            is_worded: The prompt is whole, as a chat template renders it: special tokens in it
                count as such, and neither wording nor a beginning of sequence is added.
            **options: Those of ``GenerationOptions``: ``max_new_tokens``, ``stop``,
                ``temperature``, ``top_p``, ``top_k``, ``seed``, ``num_beams``,
                ``num_return_sequences``, ``use_cache``, ``cache_implementation``,
                ``attribute``, ...

        Returns:
            An ``Answer``, or for a list a list (with ``num_return_sequences=n``, ``n`` for each
            prompt, one after the other).

        Raises:
            ValueError: An empty prompt, an unknown mode, an empty stop string, lists that do not
                match, ``attribute`` where no passage is read.
            TypeError: An option that does not exist, or something that is no passage.
            PromptTooLongError: A prompt that does not fit the base model's window.
        """
        settings = GenerationOptions.read(options)
        if not isinstance(prompt, str | list | tuple):
            raise TypeError(
                f"prompt must be a str, or a list of them; got {type(prompt).__name__}."
            )
        is_one = isinstance(prompt, str)
        prompts: Sequence[str] = [prompt] if isinstance(prompt, str) else prompt
        given = [passages] if is_one else passages
        count = settings.num_return_sequences
        answers: dict[int, list[Answer]] = {}
        for batch in self._plan(prompts, given, mode, is_worded, settings):
            own = answer_batch(self, batch)
            for row, number in enumerate(batch.numbers):
                answers[number] = own[row * count : (row + 1) * count]
        listed = [answer for number in sorted(answers) for answer in answers[number]]
        return listed[0] if is_one and count == 1 else listed

    def generate_as_completed(
        self,
        prompts: Sequence[str],
        passages: Sequence[PassagesLike | None] | None = None,
        mode: ModeChoice = "inject",
        is_worded: bool = False,
        **options: Any,
    ) -> Completions:
        """Answers several prompts, and gives each answer as soon as it is complete.

        The answers are those that ``generate`` gives, but for their ``total_seconds``: what each
        row took until it ended, while others of its batch went on. With ``num_beams``, the rows of
        a batch end together; with ``attribute``, their answers come one by one after it.

        Whoever stops reading (``close``, the end of a ``with`` block, or dropping the iterator)
        stops the generation; an error in it is raised after what was complete by then.

        Args:
            prompts: A list of texts.
            passages: One list of passages (or ``None``) per prompt.
            mode: As ``generate`` takes it.
            is_worded: As ``generate`` takes it.
            **options: Those of ``generate``, but ``num_return_sequences``.

        Returns:
            An iterator over the number of a prompt and its answer.

        Raises:
            ValueError: As for ``generate``, before anything is generated; and several sequences.
            TypeError: Likewise.
            PromptTooLongError: Likewise.

        Example:
            >>> model = DiekaeModel.from_pretrained("demo")
            >>> passages = ["Drola Brenk was born in Kolwick. Drola Brenk works as a nurse."]
            >>> questions = ["Where was Drola Brenk born?", "What does Drola Brenk do?"]
            >>> answers = dict(model.generate_as_completed(questions, [passages, passages]))
            >>> answers[0].text
            'Kolwick'
        """
        settings = GenerationOptions.read(options)
        if settings.num_return_sequences > 1:
            raise ValueError(
                "one answer to each prompt can be given as it is completed, not several "
                "(num_return_sequences); use generate."
            )
        if not isinstance(prompts, list | tuple):
            raise TypeError(f"prompts must be a list of str, got {type(prompts).__name__}.")
        return Completions(self, self._plan(prompts, passages, mode, is_worded, settings))

    def stream(
        self,
        prompt: str,
        passages: PassagesLike | None = None,
        mode: ModeChoice = "inject",
        is_worded: bool = False,
        **options: Any,
    ) -> AnswerStream:
        """Answers one prompt and gives the text as it comes.

        The pieces together are the text that ``generate`` gives. Whoever stops reading stops the
        generation; an error in it is raised at the next piece.

        Example:
            >>> model = DiekaeModel.from_pretrained("demo")
            >>> passages = ["Brenk Mills is based in Oltun."]
            >>> stream = model.stream("Where is Brenk Mills based?", passages)
            >>> "".join(stream) == stream.answer.text
            True
        """
        settings = GenerationOptions.read(options)
        if settings.num_beams > 1 or settings.num_return_sequences > 1:
            raise ValueError("only one answer can be streamed: no beams, no several sequences.")
        read = as_passages(passages)
        self._check(mode, settings)
        # Errors come before the first piece.
        chosen, request = choose(self, prompt, read, mode, settings.max_new_tokens, is_worded)
        batch = Batch([0], [request], chosen, settings)

        def run(on_start: Callable[[Watch], None]) -> Answer:
            return answer_batch(self, batch, on_start)[0]

        ends = end_tokens(self.tokenizer, self.base, settings.stop)
        wording = self.wording_of(is_worded)
        return AnswerStream(run, self.tokenizer, wording, settings.stop, ends)

    def score(
        self,
        prompt: str,
        answer: str,
        passages: PassagesLike | None = None,
        mode: ModeChoice = "inject",
        is_worded: bool = False,
    ) -> float:
        """Log-likelihood of an answer, in nats, its end of sequence included.

        Edits count as they do for ``generate``. A prompt that ``is_worded`` is read as it is, and
        so is the answer to it.

        Example:
            >>> model = DiekaeModel.from_pretrained("demo")
            >>> model.score("Where was Drola Brenk born?", "Kolwick") < 0
            True
        """
        self._check(mode)
        if not isinstance(answer, str):
            raise TypeError(f"an answer must be a str, got {type(answer).__name__}.")
        continuation = self.wording_of(is_worded).tokenize_answers(self.tokenizer, [answer])[0]
        room = max(1, len(continuation))
        chosen, request = choose(self, prompt, as_passages(passages), mode, room, is_worded)
        return score_rows(self, [request], [continuation], chosen)[0]

    def calibrate(self, *, show_progress: bool = False, **options: Any) -> Calibration:
        """Measures where injecting is faster than stuffing on this device, for ``mode="auto"``.

        What was measured is kept in the user's cache, for this model on this device.

        Args:
            show_progress: Draw a progress bar on stderr.
            **options: Those of ``calibrating.calibrate``: ``knowledge_tokens``, ``prompt``,
                ``rounds``.
        """
        measured = calibrate(self, show_progress=show_progress, **options)
        measured.save(calibration_file(self))
        self.calibration = measured
        return measured

    def write_edits(self, *, show_progress: bool = False, **options: Any) -> WrittenEdits:
        """Trains the edits that are in force into the weights of encoders of their own.

        That is the paper's way to edit: these encoders read the prompt alone, every prompt. It
        takes minutes, and unedited facts near the edited ones may suffer, which they never do where
        edits are read as passages; neither the base model's weights nor the other encoders' change.
        The weights alone answer a prompt with an edit's own words and no passages; where passages
        could say otherwise, or the words are others, the edit is read beside them. Edits that come
        later are read as passages; when one of those that were written is removed, contradicted or
        rolled back, all are, until they are written anew. ``edits.unwrite()`` takes the weights
        away.

        Where the edits are in a folder, so are the weights; a run that is stopped goes on there.

        Args:
            show_progress: Draw a progress bar on stderr.
            **options: Those of ``editing.writing.trained_on_edits``: ``num_steps``,
                ``learning_rate``, ``edits_per_step``, ``keep`` (texts of which nothing is to
                change), ``examples`` (facts like these, in several words each), ``seed``,
                ``checkpoint_every``, ``accelerator``.

        Raises:
            ValueError: There are no edits, or an option makes no sense.
            EditsError: Other edits were opened meanwhile; what was trained stays in the folder.
            ImportError: accelerate is not installed.
        """
        from diekae_rag.editing.writing import trained_on_edits

        began, edits = time.monotonic(), self.edits
        rows, folder = edits.in_force(), edits.folder
        with trained_on_edits(
            self.base,
            self.encoders,
            self.tokenizer,
            rows,
            folder,
            show_progress=show_progress,
            **options,
        ) as encoders:
            seconds = time.monotonic() - began
            base = self.in_weights.base_fingerprint
            written = WrittenEdits(encoders, tuple(rows), base, seconds)
            edits.keep_written(written, folder)
        return written

    def _check(self, mode: ModeChoice, settings: GenerationOptions | None = None) -> None:
        if mode not in MODE_CHOICES:
            raise ValueError(f"mode must be one of {', '.join(MODE_CHOICES)}; got {mode!r}.")
        if mode == "auto" and self.calibration is None:
            self.calibration = load_calibration(self)
        if settings is not None and settings.attribute and mode == "none":
            raise ValueError(
                'attribute=True asks what each passage contributed, and mode "none" reads none; '
                "choose inject, combine or stuff, or leave attribute out."
            )

    def _plan(
        self,
        prompts: Sequence[str],
        passages: Sequence[PassagesLike | None] | None,
        mode: ModeChoice,
        is_worded: bool,
        settings: GenerationOptions,
    ) -> list[Batch]:
        """What is to be run for a list of prompts; errors come before any work."""
        given = [None] * len(prompts) if passages is None else list(passages)
        if len(given) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts came with {len(given)} lists of passages.")
        read = [as_passages(item) for item in given]
        if not prompts:
            return []
        self._check(mode, settings)
        room, in_weights = settings.max_new_tokens, self.in_weights.now(self.edits)
        chosen = [
            choose(self, prompt, own, mode, room, is_worded, in_weights)
            for prompt, own in zip(prompts, read, strict=True)
        ]
        end_tokens(self.tokenizer, self.base, settings.stop)
        return in_batches(chosen, settings)

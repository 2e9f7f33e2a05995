"""How a model of ours is set up, and how a call may differ: alike for plain and chat models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from diekae_rag.answers import ModeChoice
from diekae_rag.editing import Edits
from diekae_rag.generation import GenerationOptions
from diekae_rag.stopping import check_stop
from langchain_diekae.engines import find_engine, fingerprint, identify_base

__all__ = ["DiekaeSettings"]

_RUN_ARGUMENTS = {"tags", "metadata", "run_name", "run_id"}
_OPTIONS = {item.name for item in fields(GenerationOptions)} - {"stop"}
_OPTIONAL = {item.name for item in fields(GenerationOptions) if item.default is None}


class DiekaeSettings(BaseModel):
    """A model and the options of its answers, which a call may replace by name.

    Args:
        engine: A ``DiekaeModel``; for one with ``dtype`` or ``device_map``, load it yourself.
        model: A folder, a hub id or ``"demo"``, loaded where no engine is given.
        mode: Which way documents go: ``"inject"``, ``"stuff"``, ``"combine"``, ``"none"``, or
            ``"auto"``: as ``DiekaeModel.generate`` takes it.
        max_new_tokens: Most tokens to generate.
        stop: Strings that end every answer; those of a call are added.
        temperature: 0 is greedy; above, tokens are drawn.
        top_p: Draw from the likeliest tokens that make up this share.
        top_k: Draw from this many of the likeliest.
        seed: Makes drawing repeatable.
        attribute: Whether to find out how much each document contributed to the answer.
        options: Other options of ``GenerationOptions``, by name (``batch_size``, ...).

    Raises:
        ValueError: Neither engine nor model, or both; an option with a value that cannot be.
        TypeError: An option that does not exist.
    """

    engine: Any = Field(default=None, exclude=True, repr=False)
    model: str = ""
    mode: ModeChoice = "inject"
    max_new_tokens: int = 64
    stop: list[str] = Field(default_factory=list)
    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    attribute: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if named := set(self.options) & set(type(self).model_fields):
            raise ValueError(f"options holds {sorted(named)}; give each by its own name.")
        GenerationOptions.read(self._settings(None))
        self.engine = find_engine(self.engine, self.model)
        fingerprint(self.engine)  # takes a while, which no event loop should wait for
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy that answers with the same engine."""
        return super().__deepcopy__({**(memo or {}), id(self.engine): self.engine})

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickles: the name of the model, to be loaded again, and how it was set up."""
        if not self.model:
            raise TypeError(
                f"a {type(self).__name__} with an engine of one's own cannot be pickled; one that "
                "is loaded by name can: model=..."
            )
        self.edits.check_none_is_lost()
        given = {name: getattr(self, name) for name in self.model_fields_set - {"engine"}}
        return _build, (type(self), given)

    def _with_options(self, arguments: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """This model with a call's options as its own, and the arguments that are none."""
        run = {name: value for name, value in arguments.items() if name in _RUN_ARGUMENTS}
        given = {name: value for name, value in arguments.items() if name not in _RUN_ARGUMENTS}
        if unknown := set(given) - _OPTIONS - {"mode"}:
            raise TypeError(
                f"unknown argument(s) {sorted(unknown)}; a call takes documents, mode, stop, "
                f"{', '.join(sorted(_OPTIONS))}."
            )
        given = {
            name: value for name, value in given.items() if value is not None or name in _OPTIONAL
        }
        if not given:
            return self, run
        own = {name: value for name, value in given.items() if name in type(self).model_fields}
        other = {name: value for name, value in given.items() if name not in own}
        return self.model_copy(update={**own, "options": {**self.options, **other}}), run

    def _settings(self, stop: list[str] | None) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in _OPTIONS & set(type(self).model_fields)}
        stops = dict.fromkeys([*check_stop(self.stop), *check_stop(stop)])
        return {**own, **self.options, "stop": list(stops)}

    @property
    def edits(self) -> Edits:
        """The engine's edits: facts that hold from the next call on, for whoever asks it."""
        edits: Edits = self.engine.edits
        return edits

    @property
    def _model_name(self) -> str:
        """The name it was loaded by, or else that of the base model."""
        return self.model or str(self.engine.base.config.name_or_path or "diekae")

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """All that an answer depends on, besides the prompt: a cache's key."""
        return {
            "model": self.model,
            "base": identify_base(self.engine.base),
            "encoders": fingerprint(self.engine),
            "edits": self.edits.fingerprint,
            "mode": self.mode,
            **self._settings(None),
        }


def _build(cls: type[DiekaeSettings], fields: dict[str, Any]) -> DiekaeSettings:
    return cls(**fields)

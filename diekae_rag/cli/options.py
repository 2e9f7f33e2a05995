"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["AsJson", "K", "ModeName", "ModelName"]

ModelName = Annotated[
    str,
    typer.Option("--model", help="Encoders: a folder, a hub id, or demo, the reader that ships."),
]
K = Annotated[int, typer.Option("-k", min=1, help="How many passages to find for a question.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]


class ModeName(StrEnum):
    """Which way the passages go."""

    inject = "inject"
    stuff = "stuff"
    combine = "combine"
    none = "none"
    auto = "auto"

"""The options that several benchmarks share, and what they do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from diekae_rag.cli.console import note

__all__ = [
    "AGAIN",
    "BenchModel",
    "Device",
    "DeviceName",
    "Dtype",
    "DtypeName",
    "Embedder",
    "Layers",
    "Output",
    "Quick",
    "Shape",
    "ShapeName",
    "Sharing",
    "model_fields",
    "plot_beside",
]

AGAIN = "may be given again."


class ShapeName(StrEnum):
    """The shapes of ``diekae_rag.bench.setting``."""

    tiny = "tiny"
    llama_160m = "llama-160m"
    llama_1b = "llama-1.1b"
    llama_2_7b = "llama-2-7b"


class DtypeName(StrEnum):
    """Precision of weights, gradients and optimiser states."""

    bfloat16 = "bfloat16"
    float32 = "float32"


class DeviceName(StrEnum):
    """Where to measure."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Shape = Annotated[
    ShapeName | None, typer.Option(help="The base model, with random weights; else llama-1.1b.")
]
BenchModel = Annotated[
    str,
    typer.Option(
        "--model", help="Instead, encoders with their base model: a folder, a hub id, demo."
    ),
]
Dtype = Annotated[DtypeName | None, typer.Option(help="Precision; else bfloat16, of tiny float32.")]
Device = Annotated[DeviceName, typer.Option(help="Where to measure.")]
Layers = Annotated[
    list[int] | None,
    typer.Option("--layer", min=0, help=f"A layer of a shape to inject into; {AGAIN}"),
]
Sharing = Annotated[
    str, typer.Option(help="Of a shape's encoders: separate, or shared, one trunk for all.")
]
Embedder = Annotated[
    str, typer.Option(help="A sentence-transformers folder or name, or minilm, which ships.")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A small shape and little to do: two minutes.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        help="A JSON file, written after each setting: the same command goes on from it. A plot "
        "goes beside it.",
    ),
]


def model_fields(
    shape: ShapeName | None,
    model: str,
    dtype: DtypeName | None,
    device: DeviceName,
    layers: list[int] | None,
    sharing: str,
    *,
    quick: bool,
) -> dict[str, Any]:
    """Which models are measured, as the fields that every setting has.

    Raises:
        ValueError: A shape, or layers, and a model that brings its own.
        FileNotFoundError: There are no such encoders.
    """
    if model:
        from diekae_rag.locations import locate

        if shape or layers:
            raise ValueError("--model brings its own shape and layers; leave those options out.")
        locate(model)
    named = shape or (ShapeName.llama_160m if quick else ShapeName.llama_1b)
    return {
        "shape": named.value,
        "model": model,
        "dtype": dtype.value if dtype else "auto",
        "device": device.value,
        "layers": tuple(layers or ()),
        "sharing": sharing,
    }


def plot_beside(
    output: Path, save: Callable[[Mapping[str, Any], Path], Path], report: Mapping[str, Any]
) -> None:
    """Draws a report beside its file, where there is matplotlib.

    Args:
        output: The report's file.
        save: Draws; without matplotlib it raises ``ImportError``.
        report: What is drawn.
    """
    try:
        note("plot", str(save(report, output.with_suffix(".png"))), "cyan")
    except ImportError as error:
        note("no plot", str(error))

"""``diekae states``: what encoders read of an index's passages, read once and kept."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from diekae_rag.cli.console import note, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, ModelName

__all__ = ["states"]


class StateDtypeName(StrEnum):
    """Precision of kept states."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"
    int8 = "int8"


@reports_mistakes
def states(
    index: Annotated[Path, typer.Argument(help="A folder that `diekae index` saved.")],
    model: ModelName = "demo",
    dtype: Annotated[
        StateDtypeName | None,
        typer.Option(help="Precision; else that of the file, or the encoders' own: no loss."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Begin anew, as for other encoders.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read an index's passages with the encoders once, so that no question has to.

    Passages that are there already are not read again: stopped, it goes on where it was.
    """
    from diekae_rag.files import STATES_FILE
    from diekae_rag.index import PassageIndex

    opened = PassageIndex.load(index, takes_vectors=True)
    quiet_libraries()
    from diekae_rag.model import DiekaeModel

    loaded = DiekaeModel.from_pretrained(model)
    if rebuild:
        (index / STATES_FILE).unlink(missing_ok=True)
    kept = loaded.keep_states(index, dtype=None if dtype is None else dtype.value)
    began = time.perf_counter()
    num_new = kept.follow(opened, show_progress=True)
    seconds = time.perf_counter() - began
    assert kept.file is not None  # it was opened with a path
    report = {
        "states": str(kept.file.path),
        "passages": len(kept.file),
        "read": num_new,
        "bytes": kept.file.num_bytes,
        "dtype": kept.file.code.dtype,
        "seconds": seconds,
    }
    if as_json:
        show_json(report)
        return
    show(
        f"{report['passages']} passages have their states in {report['states']} "
        f"({kept.file.num_bytes / 2**20:.1f} MiB, {report['dtype']})."
    )
    note("read", f"{num_new} passages in {seconds:.1f} s", "dim")

"""``python -m diekae_rag.counterfact prepare DATA FOLDER``: what measuring edits stands on.

It leaves ``FOLDER/base`` (a reader that knows the facts) and ``FOLDER/encoders`` (which edit it);
``measure`` prints what both get right. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import LlamaForCausalLM

from diekae_rag.counterfact.editing import measure_edits
from diekae_rag.counterfact.encoders import EDIT_STAGES, train_edit_encoders
from diekae_rag.counterfact.facts import read_facts
from diekae_rag.counterfact.reader import load_fact_tokenizer, train_fact_reader
from diekae_rag.counterfact.recall import Recall
from diekae_rag.model import DiekaeModel
from diekae_rag.training.loop import default_accelerator

app = typer.Typer(pretty_exceptions_enable=False)
_Data = Annotated[Path, typer.Argument(help="counterfact.json, or the folder of the set.")]
_Folder = Annotated[Path, typer.Argument(help="Where everything goes.")]


@app.command()
def prepare(
    data: _Data,
    folder: _Folder,
    steps: Annotated[int, typer.Option(min=1, help="Of the reader, 48 rows each.")] = 1600,
    scale: Annotated[float, typer.Option(help="Of the encoders' steps.")] = 1.0,
    compiled: Annotated[bool, typer.Option(help="Several times as fast, after minutes.")] = True,
    progress: Annotated[bool, typer.Option(help="Draw progress bars.")] = True,
) -> None:
    """Trains the reader and its encoders, or goes on."""
    facts = read_facts(data)
    tokenizer = load_fact_tokenizer(facts, folder)
    accelerator = default_accelerator(mixed_precision="bf16", cpu=not torch.cuda.is_available())
    if (folder / "base").is_dir():
        reader = LlamaForCausalLM.from_pretrained(folder / "base")
    else:
        reader = train_fact_reader(
            facts,
            tokenizer,
            folder,
            accelerator,
            num_steps=steps,
            is_compiled=compiled,
            show_progress=progress,
        )
    stages = [replace(s, num_steps=max(1, round(s.num_steps * scale))) for s in EDIT_STAGES]
    train_edit_encoders(
        reader,
        facts,
        tokenizer,
        folder,
        accelerator,
        stages=stages,
        is_compiled=compiled,
        show_progress=progress,
    )


@app.command()
def measure(
    data: _Data,
    folder: _Folder,
    edits: Annotated[int, typer.Option(min=1, help="Held-out edits, each alone.")] = 300,
) -> None:
    """Prints, as JSON, what the reader knows and how often held-out edits work."""
    facts = read_facts(data)
    model = DiekaeModel.from_pretrained(folder / "encoders")
    with torch.no_grad():
        known = Recall(facts, model.tokenizer, num_edits=edits).measure(model.base)
    report = {"recall": known, **measure_edits(model, facts, num_edits=edits)}
    typer.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    app()

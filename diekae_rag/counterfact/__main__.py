"""``python -m diekae_rag.counterfact prepare DATA FOLDER``: what measuring edits stands on.

It leaves ``FOLDER/base`` (a reader that knows the facts) and ``FOLDER/encoders`` (which edit it);
``table DATA FOLDER --out FILE.json`` measures every way to edit on them, and ``matching DATA``
which prompts mean an edit. A run that was stopped goes on where it was.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console, RenderableType
from transformers import LlamaForCausalLM

from diekae_rag.bench.machine import describe_machine
from diekae_rag.counterfact.encoders import EDIT_STAGES, train_edit_encoders
from diekae_rag.counterfact.facts import read_facts
from diekae_rag.counterfact.matching import matching_table, measure_matching
from diekae_rag.counterfact.reader import load_fact_tokenizer, train_fact_reader
from diekae_rag.counterfact.table.measuring import Measurer
from diekae_rag.counterfact.table.plots import save_edit_plot
from diekae_rag.counterfact.table.report import measure_table
from diekae_rag.counterfact.table.sets import draw_sets
from diekae_rag.counterfact.table.setting import ARMS, COUNTS, STEPS, table_cells
from diekae_rag.counterfact.table.tables import edit_tables
from diekae_rag.data.records import read_records
from diekae_rag.files import write_json
from diekae_rag.index.embedder import SentenceTransformerEmbedder
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
def table(
    data: _Data,
    folder: _Folder,
    out: Annotated[Path, typer.Option(help="The report; a picture lies beside it.")],
    arm: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this one of {', '.join(ARMS)}; may be given again."),
    ] = None,
    count: Annotated[
        list[int] | None, typer.Option(min=1, help="Edits at once; may be given again.")
    ] = None,
    asked: Annotated[int, typer.Option(min=1, help="Most edits asked about in a cell.")] = 1000,
    unrelated: Annotated[int, typer.Option(min=1, help="Unrelated prompts.")] = 200,
    writing_steps: Annotated[
        int, typer.Option(min=1, help="Of way 1, for a set, at most.")
    ] = STEPS["in_weights"],
    tuning_steps: Annotated[
        int, typer.Option(min=1, help="Of fine-tuning and LoRA, at most.")
    ] = STEPS["full"],
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Time calls of this random model too; llama-1.1b, for example."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few edits and steps: a try in a minute.")
    ] = False,
    progress: Annotated[bool, typer.Option(help="Say what runs.")] = True,
) -> None:
    """Measures every way to edit, cell by cell, or goes on; prints and draws what came of it."""
    counts = count or list(COUNTS)
    if quick:
        counts = [number for number in counts if number <= 100] or [100]
        asked, unrelated = min(asked, 20), min(unrelated, 20)
        writing_steps, tuning_steps = min(writing_steps, 20), min(tuning_steps, 20)
    measurer = Measurer(
        read_facts(data),
        folder,
        SentenceTransformerEmbedder(),
        num_unrelated=unrelated,
        seed=seed,
        rounds=5 if quick else 40,
    )
    cells = table_cells(
        arm or ARMS,
        counts,
        steps={"in_weights": writing_steps, "full": tuning_steps, "lora": tuning_steps},
        shapes=shape or (),
        num_asked=asked,
        **measurer.drawn,
    )
    report = measure_table(measurer, cells, out, _tell if progress else _keep_silent)
    _show(edit_tables(report))
    save_edit_plot(report, out.with_suffix(".png"))


@app.command()
def matching(
    data: _Data,
    out: Annotated[Path | None, typer.Option(help="A JSON file of the same.")] = None,
    count: Annotated[
        list[int] | None, typer.Option(min=1, help="Edits at once; may be given again.")
    ] = None,
    asked: Annotated[int, typer.Option(min=1, help="Held-out edits asked about.")] = 1000,
    unrelated: Annotated[int, typer.Option(min=1, help="Unrelated prompts.")] = 1000,
    questions: Annotated[
        list[Path] | None,
        typer.Option(help="Records of questions about other things; may be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
) -> None:
    """Prints for how many prompts an edit speaks that should, and that should not."""
    sets = draw_sets(read_facts(data), num_unrelated=unrelated, seed=seed)
    report = measure_matching(
        sets,
        SentenceTransformerEmbedder(),
        count or (1000, 10_000),
        num_asked=asked,
        real=[record.prompt for path in questions or () for record in read_records(path)],
        on_step=lambda step: typer.echo(step, err=True),
    )
    _show(matching_table(report))
    if out is not None:
        write_json(out, {"matching": report, "machine": describe_machine(torch.device("cpu"))})


def _show(result: RenderableType) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(result)


def _tell(done: int, total: int, step: str) -> None:
    typer.echo(f"{done} of {total} cells; {step}", err=True)


def _keep_silent(done: int, total: int, step: str) -> None:
    """Nobody wants to know."""


if __name__ == "__main__":
    app()

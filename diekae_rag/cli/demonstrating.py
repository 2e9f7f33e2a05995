"""``diekae demo``: the whole of it on an invented world; ``diekae demo train``: from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diekae_rag.cli.console import note, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, K, ModelName

__all__ = ["demo_app"]

demo_app = typer.Typer(pretty_exceptions_enable=False)


@demo_app.callback(invoke_without_command=True)
@reports_mistakes
def demo(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Option(help="Where to write the documents and their index.")
    ] = Path("demo-run"),
    questions: Annotated[int, typer.Option(min=1, help="How many questions to count.")] = 100,
    documents: Annotated[int, typer.Option(min=1, help="How many documents to invent.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the invented world.")] = 1,
    k: K = 3,
    model: ModelName = "demo",
    as_json: AsJson = False,
) -> None:
    """Index a folder of invented documents, and ask about it through LangChain and LlamaIndex.

    The passages go through the encoders and never into the prompt; beside that, the same questions
    with the passages in the prompt, and with no knowledge at all.
    """
    if (command := context.invoked_subcommand) is not None:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        if given := [n for n, source in sources.items() if source and source.name == "COMMANDLINE"]:
            option = "--json" if given[0] == "as_json" else f"--{given[0]}"
            raise typer.BadParameter(f"put {option} after {command}.")
        return
    quiet_libraries()
    from diekae_rag.demo.show import demo_tables, run_demo

    report = run_demo(
        folder,
        model=model,
        seed=seed,
        num_questions=questions,
        num_documents=documents,
        k=k,
        on_step=lambda step: note("demo", step, "cyan"),
    )
    if as_json:
        show_json(report)
    else:
        show(demo_tables(report))


@demo_app.command()
@reports_mistakes
def train(
    folder: Annotated[Path, typer.Argument(help="Where the run is kept, and goes on from.")] = Path(
        "demo-training"
    ),
    seed: Annotated[int, typer.Option(help="Makes the run repeatable.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the reader that ships and its encoders again, from a seed.

    A run that was stopped goes on where it was: give the same folder.
    """
    from diekae_rag.demo.train import train_demo

    seconds = train_demo(folder, seed=seed, show_progress=True)
    if as_json:
        show_json({"folder": str(folder), "seconds": seconds})
        return
    for part, spent in seconds.items():
        show(f"{part}: {spent / 60:.1f} minutes")
    show(
        f'Ready to ship: {folder / "weights"}. Try: diekae ask INDEX "..." '
        f"--model {folder / 'weights' / 'encoders'}"
    )


@demo_app.command()
@reports_mistakes
def records(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A .jsonl file to write.")],
    rows: Annotated[int, typer.Option(min=1, help="Sets of passages, each with questions.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the invented worlds.")] = 0,
    unseen: Annotated[
        int | None,
        typer.Option(min=1, help="So many questions about a world that no training saw, instead."),
    ] = None,
    documents: Annotated[int, typer.Option(min=1, help="Size of that world.")] = 2000,
    k: K = 3,
    new_wordings: Annotated[
        bool, typer.Option("--new-wordings", help="Say and ask all in ways kept out of training.")
    ] = False,
) -> None:
    """Write invented records, of the form that diekae train and diekae eval read."""
    if file.suffix != ".jsonl":
        raise ValueError(f"{file} must end in .jsonl, which is what is written.")
    unseens = {"documents": "--documents", "k": "-k", "new_wordings": "--new-wordings"}
    only = {"rows": "--rows"} if unseen else unseens
    for name, option in only.items():
        source = context.get_parameter_source(name)
        if source and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"{option} is about training worlds; leave it or --unseen out."
                if unseen
                else f"{option} is about an unseen world; add --unseen QUESTIONS, or leave it out."
            )
    quiet_libraries()
    from diekae_rag.demo.records import write_records, write_unseen_records

    if unseen:
        count = write_unseen_records(
            file, unseen, seed, num_documents=documents, k=k, has_new_wordings=new_wordings
        )
    else:
        count = write_records(file, rows, seed)
    show(f"{count:,} records in {file}")

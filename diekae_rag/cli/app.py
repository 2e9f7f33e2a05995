"""The commands put together, and the entry point."""

from __future__ import annotations

import os
from typing import Annotated

import typer

import diekae_rag
from diekae_rag.cli.answering import answer
from diekae_rag.cli.asking import ask, index
from diekae_rag.cli.benching import bench_app
from diekae_rag.cli.calling import bench_rag
from diekae_rag.cli.console import show
from diekae_rag.cli.converting import convert
from diekae_rag.cli.demonstrating import demo_app
from diekae_rag.cli.editing import edit_app
from diekae_rag.cli.evaluating import evaluate
from diekae_rag.cli.fetching import fetch
from diekae_rag.cli.indexing import bench_index
from diekae_rag.cli.keeping import states
from diekae_rag.cli.mistakes import DEBUG, INTERRUPTED
from diekae_rag.cli.training import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="diekae",
    help="Answer questions about your documents with a frozen model that never reads them.",
    epilog="Exit codes: 0 done, 1 could not be done, 2 wrong arguments, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(demo_app, name="demo")
app.command()(index)
app.command()(ask)
app.command()(states)
app.add_typer(edit_app, name="edit")
app.command("eval")(evaluate)
app.command()(train)
app.command("data")(fetch)
bench_app.command()(answer)
bench_app.command("index")(bench_index)
bench_app.command("rag")(bench_rag)
app.add_typer(bench_app, name="bench")
app.command()(convert)


def _print_version(wanted: bool) -> None:
    if wanted:
        show(f"diekae-rag {diekae_rag.__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help=f"Show tracebacks (or set {DEBUG}=1).")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Runs the command line."""
    try:
        app(prog_name="diekae")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None

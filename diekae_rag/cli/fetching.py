"""``diekae data``: the paper's public sets as files to train on and to measure with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diekae_rag.cli.console import note, readable, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson

if TYPE_CHECKING:
    from diekae_rag.data.records import Record
    from diekae_rag.data.sets import EditRecord

__all__ = ["fetch"]


@reports_mistakes
def fetch(
    name: Annotated[
        str | None, typer.Argument(help="The set; without it, all of them are listed.")
    ] = None,
    folder: Annotated[Path | None, typer.Argument(help="Where its splits go.")] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be given several times.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Where its files already are: a folder, a file or a URL.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where downloads are kept (or set DIEKAE_CACHE).")
    ] = None,
    keep_flaws: Annotated[
        bool, typer.Option("--keep-flaws", help="Keep what is known to be flawed, as published.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a public data set and write its splits, one JSON record a line."""
    from diekae_rag.data.sets import EDIT_SETS, SETS, load_edits, load_set
    from diekae_rag.files import new_files, write_text

    if name is None:
        _list(as_json)
        return
    if folder is None:
        raise typer.BadParameter("name the folder that the splits go to.", param_hint="FOLDER")
    if name not in SETS:
        raise ValueError(f"there is no set {name!r}; there are {', '.join(SETS)}.")
    about, counts = SETS[name], {}
    with new_files(folder) as temporary:
        for wanted in split or about.splits:
            held: list[EditRecord] | list[Record]
            if name in EDIT_SETS:
                held = load_edits(name, wanted, cache=cache, source=source)
            else:
                held = load_set(name, wanted, cache=cache, source=source, keep_flaws=keep_flaws)
            write_text(temporary / f"{wanted}.jsonl", _lines(held))
            counts[wanted] = len(held)
    if as_json:
        show_json({"folder": str(folder), "licence": about.licence, "records": counts})
        return
    note("licence", f"{about.title}: {about.licence} ({about.home})", "cyan")
    for wanted, number in counts.items():
        show(f"{folder / wanted}.jsonl: {number:,} records")


def _lines(held: Iterable[Record | EditRecord]) -> str:
    import json

    return "".join(json.dumps(_row(item), ensure_ascii=False) + "\n" for item in held)


def _row(item: Record | EditRecord) -> dict[str, Any]:
    """What ``read_records`` reads; an edit's new target is the answer, its other fields stay."""
    row = asdict(item)
    return row if "answer" in row else {"answer": row["target_new"], **row}


def _list(as_json: bool) -> None:
    from rich.table import Column, Table

    from diekae_rag.data.sets import SETS

    if as_json:
        show_json(
            {
                name: {
                    "title": about.title,
                    "home": about.home,
                    "licence": about.licence,
                    "splits": about.splits,
                    "flaws": about.flaws,
                }
                for name, about in SETS.items()
            }
        )
        return
    names = ("set", "splits", "licence", "home", "known flaws")
    table = Table(*(Column(name, overflow="fold") for name in names), show_lines=True)
    for name, about in SETS.items():
        row = (name, ", ".join(about.splits), about.licence, about.home, "\n".join(about.flaws))
        table.add_row(*map(readable, row))
    show(table)

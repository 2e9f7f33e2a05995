"""``diekae edit``: facts that are to be answered otherwise, kept in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diekae_rag.cli.console import note, one_line, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, ModelName

if TYPE_CHECKING:
    from diekae_rag.editing import Edit, Edits

__all__ = ["edit_app"]

edit_app = typer.Typer(
    help="Change facts: each holds for the prompts that mean it, and can be taken back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(help="Where the edits are kept.")]
Examples = Annotated[
    Path,
    typer.Argument(help="JSON Lines: subject, prompt, relation, paraphrase_prompts."),
]
Embedder = Annotated[
    str, typer.Option(help="What compares prompts: minilm, a folder, or a hub name.")
]


@edit_app.command()
@reports_mistakes
def add(
    folder: Folder,
    subject: Annotated[str, typer.Argument(help="Whom or what the fact is about.")],
    prompt: Annotated[str, typer.Argument(help="What it completes, with {} for the subject.")],
    old: Annotated[str, typer.Argument(help="How it was completed.")],
    new: Annotated[str, typer.Argument(help="How it is to be completed.")],
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Add an edit; the folder is made where there is none."""
    edits = _open(folder, embedder, create=True)
    _tell(edits, [edits.add(subject, prompt, old, new)], "added", as_json)


@edit_app.command("add-many")
@reports_mistakes
def add_many(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="JSON Lines: subject, prompt, old, new.")],
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Add the edits of a file: all of them or, if anything is wrong, none."""
    edits = _open(folder, embedder, create=True)
    _tell(edits, edits.add_many(file, show_progress=not as_json), "added", as_json)


@edit_app.command("list")
@reports_mistakes
def list_edits(
    folder: Folder,
    version: Annotated[int | None, typer.Option(help="Those of an earlier version.")] = None,
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """List the edits."""
    edits = _open(folder, embedder)
    found = edits.list(version)
    if as_json:
        show_json(_report(edits, found))
        return
    for edit in found:
        show(_line(edit))
    note("edits", f"{len(found)} in version {edits.version if version is None else version}", "dim")
    if in_weights := edits.written_now()[1]:
        note("edits", f"in weights: {len(in_weights)}", "dim")


@edit_app.command()
@reports_mistakes
def history(folder: Folder, embedder: Embedder = "minilm", as_json: AsJson = False) -> None:
    """List the versions, and what made them."""
    changes = _open(folder, embedder).history()
    if as_json:
        show_json([{"version": c.version, "at": c.at, "what": c.what} for c in changes])
        return
    for change in changes:
        show(f"{change.version}  {change.at}  {change.what}")


@edit_app.command()
@reports_mistakes
def remove(
    folder: Folder,
    id: Annotated[str, typer.Argument(help="Which one: list tells.")],
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Remove an edit; one that it replaced counts again."""
    edits = _open(folder, embedder)
    _tell(edits, [edits.remove(id)], "removed", as_json)


@edit_app.command()
@reports_mistakes
def rollback(
    folder: Folder,
    version: Annotated[int, typer.Argument(help="Which one: history tells.")],
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Make the edits those of an earlier version; 0 is without any."""
    edits = _open(folder, embedder)
    edits.rollback(version)
    _tell(edits, edits.list(), "there", as_json)


@edit_app.command()
@reports_mistakes
def clear(folder: Folder, embedder: Embedder = "minilm", as_json: AsJson = False) -> None:
    """Remove all edits; rollback brings them back."""
    edits = _open(folder, embedder)
    edits.clear()
    _tell(edits, [], "there", as_json)


@edit_app.command()
@reports_mistakes
def calibrate(
    folder: Folder,
    file: Examples,
    false_share: Annotated[
        float, typer.Option(help="How many prompts about something else may be taken for an edit.")
    ] = 0.03,
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Learn from examples in which other words an edit is meant."""
    edits = _open(folder, embedder, create=True)
    found = edits.calibrate(file, false_share=false_share)
    if as_json:
        show_json(asdict(found))
        return
    show(
        f"of {found.num_examples} other wordings {found.recall:.1%} are known, and "
        f"{found.false_share:.1%} of what is about something else is taken for them."
    )


@edit_app.command()
@reports_mistakes
def export(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="The JSON Lines file to write.")],
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Write the edits to a file that add-many reads."""
    count = _open(folder, embedder).export(file)
    if as_json:
        show_json({"file": str(file), "edits": count})
    else:
        show(f"{count} edits are in {file}.")


@edit_app.command()
@reports_mistakes
def ask(
    folder: Folder,
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    model: ModelName = "demo",
    embedder: Embedder = "minilm",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Ask a model with its edits and nothing else; for passages too: diekae ask --edits."""
    if not question.strip():
        raise typer.BadParameter("the question is empty; ask something.", param_hint="QUESTION")
    quiet_libraries()
    from diekae_rag.model import DiekaeModel

    loaded = DiekaeModel.from_pretrained(model)
    loaded.edits.open(folder, embedder=embedder, create=False)
    answer = loaded.generate(question, mode="none", max_new_tokens=max_new_tokens)
    if as_json:
        edits = [edit.to_dict() for edit in answer.edits]
        usage = answer.usage.to_dict()
        show_json({"question": question, "answer": answer.text, "edits": edits, "usage": usage})
        return
    show(answer.text)
    for edit in answer.edits:
        note("edit", _line(edit), "dim")
    if not answer.edits:
        note("edits", "none is meant; the model answered as without them.", "dim")


@edit_app.command()
@reports_mistakes
def write(
    folder: Folder,
    model: ModelName = "demo",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of training; by default as many as the edits take.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="A file of texts, one a line, that are to stay as they are.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="In which other words such facts are asked for; as calibrate takes it."),
    ] = None,
    embedder: Embedder = "minilm",
    as_json: AsJson = False,
) -> None:
    """Train the edits into weights beside the model's; goes on where it was stopped."""
    quiet_libraries()
    from diekae_rag.editing.lines import read_examples
    from diekae_rag.model import DiekaeModel

    kept = keep.read_text(encoding="utf-8").splitlines() if keep else []
    loaded = DiekaeModel.from_pretrained(model)
    loaded.edits.open(folder, embedder=embedder, create=False)
    written = loaded.write_edits(
        num_steps=steps,
        keep=[text for text in kept if text.strip()],
        examples=read_examples(examples) if examples else (),
        show_progress=not as_json,
    )
    if as_json:
        show_json({"edits": len(written.edits), "seconds": written.seconds})
        return
    show(f"in weights: {len(written.edits)}, after {written.seconds:.0f} seconds")
    note("edits", "all are read as passages again once one of them goes, or after unwrite.", "dim")


@edit_app.command()
@reports_mistakes
def unwrite(folder: Folder, embedder: Embedder = "minilm", as_json: AsJson = False) -> None:
    """Delete the weights that edits were trained into: they are read as passages again."""
    edits = _open(folder, embedder)
    edits.unwrite()
    if as_json:
        show_json(_report(edits, edits.list()))
    else:
        show(f"read as passages: {len(edits)}")


def _open(folder: Path, embedder: str, *, create: bool = False) -> Edits:
    quiet_libraries()
    from diekae_rag.editing import Edits

    edits = Edits(embedder)
    edits.open(folder, create=create)
    return edits


def _report(edits: Edits, found: list[Edit]) -> dict[str, Any]:
    return {"version": edits.version, "edits": [edit.to_dict() for edit in found]}


def _tell(edits: Edits, found: list[Edit], what: str, as_json: bool) -> None:
    if as_json:
        show_json(_report(edits, found))
        return
    subject = _line(found[0]) if len(found) == 1 else f"{len(found)} edits"
    show(f"{what}: {subject}")
    for edit in found:
        if what == "added" and edit.replaces:
            note("note", f"edit {edit.id} counts instead of edit {edit.replaces}.")
    note("edits", f"{len(edits)} in version {edits.version}", "dim")


def _line(edit: Edit) -> str:
    return one_line(f"{edit.id}  {edit.prompt} {edit.new} (was: {edit.old})")

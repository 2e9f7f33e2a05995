"""``diekae index`` and ``diekae ask``: a folder of documents, and questions about it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from diekae_rag.cli.console import note, quiet_libraries, readable, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, K, ModelName, ModeName

if TYPE_CHECKING:
    from diekae_rag.answers import Answer
    from diekae_rag.index import SkippedFile
    from diekae_rag.model import DiekaeModel
    from diekae_rag.passages import Passage

__all__ = ["ask", "index"]

_SKIPPED_SHOWN = 10


@reports_mistakes
def index(
    folder: Annotated[Path, typer.Argument(help="Where the .txt, .md and .jsonl files are.")],
    index: Annotated[Path, typer.Argument(help="The folder to save the index in.")],
    chunk_size: Annotated[int, typer.Option(min=1, help="Longest passage, in characters.")] = 500,
    chunk_overlap: Annotated[
        int, typer.Option(min=0, help="Characters a passage may share with the one before.")
    ] = 50,
    embedder: Annotated[
        str, typer.Option(help="A sentence-transformers model: minilm, a folder, or a hub name.")
    ] = "minilm",
    as_json: AsJson = False,
) -> None:
    """Read a folder of documents, and index it for questions.

    Files that cannot be read are named and left out.
    """
    if chunk_overlap >= chunk_size:
        raise typer.BadParameter("--chunk-overlap must be below --chunk-size.")
    from diekae_rag.index import PassageIndex, read_documents
    from diekae_rag.index.folder import check_target

    check_target(index)  # before the work, not after it
    began = time.perf_counter()
    passages, skipped = read_documents(folder, chunk_size=chunk_size, chunk_overlap=chunk_overlap)
    _report_skipped(folder, skipped)
    quiet_libraries()
    built = PassageIndex.build(passages, embedder, show_progress=True)
    built.save(index)
    seconds = time.perf_counter() - began
    num_files = len({passage.metadata["source"] for passage in passages})
    if as_json:
        show_json(
            {
                "index": str(index),
                "passages": len(built),
                "files": num_files,
                "skipped": [{"path": str(path), "reason": reason} for path, reason in skipped],
                "embedder": embedder,
                "seconds": seconds,
            }
        )
        return
    show(
        f"Indexed {len(built)} passages from {num_files} files in {seconds:.1f} s.\n"
        f'Ask with: diekae ask {index} "..."'
    )


@reports_mistakes
def ask(
    index: Annotated[Path, typer.Argument(help="A folder that `diekae index` saved.")],
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    mode: Annotated[
        ModeName,
        typer.Option(
            help="inject: passages go through the encoders; stuff: into the prompt; "
            "combine: both; none: nothing is looked up; auto: injected or stuffed, whichever is "
            "faster here (see diekae bench calibrate)."
        ),
    ] = ModeName.inject,
    k: K = 3,
    show_passages: Annotated[
        bool, typer.Option("--show-passages", help="Print what was found, with scores.")
    ] = False,
    attribute: Annotated[
        bool,
        typer.Option(
            "--attribute", help="Print what was found, with how much each passage contributed."
        ),
    ] = False,
    model: ModelName = "demo",
    embedder: Annotated[
        str | None, typer.Option(help="What embeds the question, where the index does not say.")
    ] = None,
    edits: Annotated[
        Path | None, typer.Option(help="A folder of edits (diekae edit), which hold too.")
    ] = None,
    edits_embedder: Annotated[
        str, typer.Option(help="What compares the question with the edits.")
    ] = "minilm",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Ask an index a question."""
    if not question.strip():
        raise typer.BadParameter("the question is empty; ask something.", param_hint="QUESTION")
    if attribute and mode is ModeName.none:
        raise typer.BadParameter(
            "--attribute is about passages, --mode none reads none; leave one."
        )
    from diekae_rag.index import PassageIndex

    opened = PassageIndex.load(index, embedder)
    quiet_libraries()
    from diekae_rag.model import DiekaeModel

    loaded = DiekaeModel.from_pretrained(model)
    _use_states(loaded, index)
    if edits is not None:
        loaded.edits.open(edits, embedder=edits_embedder, create=False)
    passages: list[Passage] = []
    if mode is not ModeName.none:
        opened.embedder.embed([question])  # loads it: the times told are those of a warm search
    began = time.perf_counter()
    if mode is not ModeName.none:
        passages = opened.search(question, k)
        if len(passages) < k:
            note("note", f"the index holds only {len(opened)} of the {k} passages asked for.")
    seconds = time.perf_counter() - began
    answer = loaded.generate(
        question, passages, mode.value, max_new_tokens=max_new_tokens, attribute=attribute
    )
    answer = replace(answer, usage=replace(answer.usage, retrieval_seconds=seconds))
    if as_json:
        show_json(_as_json(question, answer))
        return
    show(answer.text)
    if show_passages or attribute:
        show(Group(*(_panel(number, each) for number, each in enumerate(answer.sources, start=1))))
    for edit in answer.edits:
        note("edit", f"{edit.id}  {edit.prompt} {edit.new} (was: {edit.old})", "dim")
    note("cost", _cost(answer), "dim")


def _use_states(model: DiekaeModel, index: Path) -> None:
    """What `diekae states` kept; of other encoders it is not used, and that is said."""
    from diekae_rag.errors import DiekaeError
    from diekae_rag.files import STATES_FILE

    if not (index / STATES_FILE).exists():
        return
    try:
        model.keep_states(index)
    except DiekaeError as error:
        note("states", f"not used: {error}")


def _report_skipped(folder: Path, skipped: Sequence[SkippedFile]) -> None:
    for path, reason in skipped[:_SKIPPED_SHOWN]:
        place = path.relative_to(folder) if path.is_relative_to(folder) else path
        note("skipped", f"{place}: {reason}")
    if (more := len(skipped) - _SKIPPED_SHOWN) > 0:
        note("skipped", f"and {more} more (--json lists them all).")


def _as_json(question: str, answer: Answer) -> dict[str, Any]:
    return {
        "question": question,
        "answer": answer.text,
        "mode": answer.mode,
        "passages": answer.sources,
        "edits": [edit.to_dict() for edit in answer.edits],
        "usage": answer.usage.to_dict(),
    }


def _panel(number: int, source: dict[str, Any]) -> Panel:
    """A passage under its place, its score, and what it contributed, where these are known."""
    parts = [str(number), readable(str(source["metadata"].get("source", source["id"])))]
    if source["score"] is not None:
        parts.append(f"{source['score']:.2f}")
    if found := source.get("attribution"):
        parts.append(f"contributed {found['share']:.0%} ({found['nats']:+.2f} nats)")
    return Panel(Text(readable(source["text"])), title=Text("  ".join(parts)))


def _from_kept(tokens: int) -> str:
    return f"{tokens} of them read once, when they were kept; " if tokens else ""


def _cost(answer: Answer) -> str:
    usage = answer.usage
    cost = (
        f"{usage.prompt_tokens} tokens read by the base model, "
        f"{usage.knowledge_tokens_kept_out} kept out of its prompt; "
        f"{_from_kept(usage.knowledge_tokens_from_kept_states)}"
        f"first token after {usage.seconds_to_first_token * 1000:.0f} ms."
    )
    if usage.mode_reason:
        cost = f"{cost} {answer.mode}: {usage.mode_reason}."
    if answer.attribution is None:
        return cost
    return (
        f"{cost} Attribution: {usage.attribution_tokens} more tokens, "
        f"{usage.attribution_seconds * 1000:.0f} ms."
    )

"""``diekae eval``: what each way of using passages gets right."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diekae_rag.cli.console import quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, K, ModelName
from diekae_rag.data.records import SUFFIXES

if TYPE_CHECKING:
    from diekae_rag.evaluation import Arm

__all__ = ["evaluate"]

_ONLY_WORLDS = {
    "questions": "--questions",
    "k": "-k",
    "documents": "--documents",
    "split_questions": "--split-questions",
    "attribution": "--attribution",
}
_ONLY_RECORDS = {
    "records": "--records",
    "max_new_tokens": "--max-new-tokens",
    "timed": "--timed",
    "plots": "--plots",
    "labels": "--labels",
    "train": "--train",
}


class ArmName(StrEnum):
    """The arms of ``diekae_rag.evaluation``, named here so that help needs no model library."""

    none = "none"
    stuff = "stuff"
    inject = "inject"
    inject_int8 = "inject_int8"
    inject_distilled = "inject_distilled"
    inject_warmup = "inject_warmup"
    combine = "combine"
    lora = "lora"
    full = "full"


_ON_REQUEST = (ArmName.inject_int8, ArmName.lora, ArmName.full)


@reports_mistakes
def evaluate(
    context: typer.Context,
    seed: Annotated[
        int, typer.Option(help="Of the world, which nothing was trained on, or of chance.")
    ] = 1,
    questions: Annotated[int, typer.Option(min=1, help="How many questions to ask.")] = 1000,
    k: K = 3,
    documents: Annotated[int, typer.Option(min=1, help="How many documents to search.")] = 2000,
    split_questions: Annotated[
        int,
        typer.Option(min=0, help="Questions for each extra table: by passages, new wordings."),
    ] = 200,
    attribution: Annotated[
        bool,
        typer.Option(
            "--attribution",
            help="Instead, how often the passage that holds the fact contributes most to a right "
            "answer, and what finding out costs; of the arm inject, unless others are named.",
        ),
    ] = False,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Your records, instead of a world; may be given again."),
    ] = None,
    records: Annotated[
        int | None, typer.Option(min=1, help="How many records to draw of each; else all.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 64,
    labels: Annotated[
        str | None, typer.Option(help="All answers that there are: True,False,Unknown.")
    ] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(help="Records to train heads for the labels on; one for each --data."),
    ] = None,
    timed: Annotated[
        int, typer.Option(min=0, help="How many records to measure time and memory on.")
    ] = 20,
    plots: Annotated[Path | None, typer.Option(help="A folder for pictures.")] = None,
    arm: Annotated[
        list[ArmName] | None, typer.Option(help="Only this arm; may be given again.")
    ] = None,
    lora: Annotated[Path | None, typer.Option(help="Adapters of the arm lora, a folder.")] = None,
    full: Annotated[Path | None, typer.Option(help="Weights of the arm full, a folder.")] = None,
    model: ModelName = "demo",
    as_json: AsJson = False,
) -> None:
    """Measure how often each way of using passages answers right.

    On an invented world, or on your own records: the passages are then those that come with each.
    """
    _check_together(context)
    named = _name_groups(data or [])
    quiet_libraries()
    asked = arm or ([ArmName.inject] if attribution else [])
    wanted = [
        name.value
        for name in asked or ArmName
        if asked or name not in _ON_REQUEST or context.params.get(name.value)
    ]
    arms = _load_arms(model, wanted, lora, full, is_asked=bool(arm))
    if data:
        learnt: Sequence[Path | None] = train or [None] * len(named)
        each = list(zip(named.items(), learnt, strict=True))
        known = [label.strip() for label in (labels or "").split(",") if label.strip()]
        sizes = {
            "seed": seed,
            "num_records": records,
            "max_new_tokens": max_new_tokens,
            "num_timed": timed,
        }
        _evaluate_records(arms, each, known, plots, as_json, sizes)
        return
    world: dict[str, Any] = {
        "seed": seed,
        "num_questions": questions,
        "k": k,
        "num_documents": documents,
    }
    if attribution:
        from diekae_rag.evaluation.attribution import attribution_table, evaluate_attribution

        report, lay_out = evaluate_attribution(arms, **world), attribution_table
    else:
        from diekae_rag.evaluation import evaluate as run
        from diekae_rag.evaluation.tables import report_tables

        report = run(arms, **world, num_split_questions=split_questions)
        lay_out = report_tables
    if as_json:
        show_json(report)
    else:
        show(lay_out(report))


def _check_together(context: typer.Context) -> None:
    """Refuses options that mean nothing beside the others."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name != "DEFAULT"}
    values = context.params
    has_data = bool(values["data"])
    for name, option in (_ONLY_WORLDS if has_data else _ONLY_RECORDS).items():
        if name in given:
            raise typer.BadParameter(
                f"{option} is about invented worlds; leave it or --data out."
                if has_data
                else f"{option} is about records; add --data FILE, or leave it out."
            )
    if values["attribution"] and "split_questions" in given:
        raise typer.BadParameter("--split-questions is not about --attribution; leave one out.")
    for name in ("lora", "full"):
        is_named = name in [arm.value for arm in values["arm"] or []]
        if is_named and not values[name]:
            raise typer.BadParameter(f"--arm {name} needs its weights: --{name} FOLDER.")
        if values[name] and values["arm"] and not is_named:
            raise typer.BadParameter(f"--{name} is for an arm left out; add --arm {name}.")
    if bool(values["labels"]) != bool(values["train"]):
        raise typer.BadParameter("--labels and --train FILE belong together; give both.")
    if values["train"] and len(values["train"]) != len(values["data"]):
        raise typer.BadParameter(
            f"{len(values['train'])} --train came with {len(values['data'])} --data; give one each."
        )


def _name_groups(files: Sequence[Path]) -> dict[str, Path]:
    """Each file by its name without what says of which kind it is."""
    named: dict[str, Path] = {}
    for file in files:
        suffix = next((suffix for suffix in SUFFIXES if file.name.endswith(suffix)), "")
        name = file.name.removesuffix(suffix)
        if name in named:
            raise typer.BadParameter(
                f"{named[name]} and {file} are both called {name}; rename one."
            )
        named[name] = file
    return named


def _load_arms(
    model: str, wanted: list[str], lora: Path | None, full: Path | None, *, is_asked: bool
) -> list[Arm]:
    from diekae_rag.evaluation import load_arms

    arms = load_arms(model, wanted, lora=lora, full=full)
    missing = [name for name in wanted if name not in {loaded.name for loaded in arms}]
    if missing and is_asked:
        raise ValueError(
            f"--arm {missing[0]} needs the encoders of that stage beside {model}, as diekae train "
            "leaves them; leave it out, or name the encoders of a run."
        )
    return arms


def _evaluate_records(
    arms: Sequence[Arm],
    groups: Sequence[tuple[tuple[str, Path], Path | None]],
    labels: Sequence[str],
    plots: Path | None,
    as_json: bool,
    sizes: dict[str, Any],
) -> None:
    from diekae_rag.data import read_records
    from diekae_rag.evaluation import evaluate_reasoning, evaluate_records
    from diekae_rag.evaluation.reasoning import labels_of
    from diekae_rag.evaluation.record_tables import reasoning_table, records_tables

    if plots:
        from diekae_rag.evaluation.plots import save_plots
    read = {name: (read_records(f), read_records(t) if t else []) for (name, f), t in groups}
    if labels:  # before anything takes long
        labels_of([r for both in read.values() for records in both for r in records], labels)
    reports: dict[str, Any] = {}
    for name, (records, learnt) in read.items():
        report = reports[name] = evaluate_records(arms, records, **sizes)
        if plots:
            save_plots(report, plots, f"{name}-")
        if not as_json:
            show(records_tables(report, name))
        if labels:
            chosen = {"seed": sizes["seed"], "num_valid": sizes["num_records"]}
            report["reasoning"] = evaluate_reasoning(arms, learnt, records, labels, **chosen)
            if not as_json:
                show(reasoning_table(report["reasoning"], name))
    if as_json:
        show_json({"groups": reports})

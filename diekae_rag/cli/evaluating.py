"""``diekae eval``: what each way of using passages gets right."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from diekae_rag.cli.console import note, quiet_libraries, show, show_json
from diekae_rag.cli.mistakes import reports_mistakes
from diekae_rag.cli.options import AsJson, K, ModelName

__all__ = ["evaluate"]


class ArmName(StrEnum):
    """The arms of ``diekae_rag.evaluation``, named here so that help needs no model library."""

    none = "none"
    stuff = "stuff"
    inject = "inject"
    inject_distilled = "inject_distilled"
    combine = "combine"


@reports_mistakes
def evaluate(
    seed: Annotated[int, typer.Option(help="Of the world; no world here was trained on.")] = 1,
    questions: Annotated[int, typer.Option(min=1, help="How many questions to ask.")] = 1000,
    k: K = 3,
    documents: Annotated[int, typer.Option(min=1, help="How many documents to search.")] = 2000,
    split_questions: Annotated[
        int,
        typer.Option(min=0, help="Questions for each extra table: by passages, new wordings."),
    ] = 200,
    arm: Annotated[
        list[ArmName] | None, typer.Option(help="Only this arm; may be given again.")
    ] = None,
    model: ModelName = "demo",
    as_json: AsJson = False,
) -> None:
    """Measure how often each way of using passages answers right, on an invented world."""
    quiet_libraries()
    from diekae_rag.evaluation import evaluate as run
    from diekae_rag.evaluation import load_arms
    from diekae_rag.evaluation.tables import report_tables

    wanted = [name.value for name in arm or ArmName]
    arms = load_arms(model, wanted)
    for name in set(wanted) - {loaded.name for loaded in arms}:
        note("note", f"{name} is left out: there are no encoders of that stage beside {model}.")
    if not arms:
        raise ValueError("there is no arm left to evaluate.")
    report = run(
        arms,
        seed=seed,
        num_questions=questions,
        k=k,
        num_documents=documents,
        num_split_questions=split_questions,
    )
    if as_json:
        show_json(report)
    else:
        show(report_tables(report))

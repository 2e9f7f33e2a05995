"""The demo: one reader, one index, and the same questions answered in four ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import track
from rich.table import Table
from rich.text import Text

from diekae_rag.answers import Answer, Mode
from diekae_rag.demo.hosts import langchain_way, llama_index_way
from diekae_rag.demo.library import build_library
from diekae_rag.demo.worlds import Question, World
from diekae_rag.evaluation.cases import Case
from diekae_rag.evaluation.outcomes import Outcome, summarise, summarise_costs
from diekae_rag.evaluation.tables import percent
from diekae_rag.index import Embedder, PassageIndex
from diekae_rag.model import DiekaeModel

__all__ = ["MAX_NEW_TOKENS", "choose_examples", "demo_tables", "run_demo"]

MAX_NEW_TOKENS = 32
_ANSWERABLE_SHOWN, _UNANSWERABLE_SHOWN = 8, 2
_HEADINGS = {
    "none": "no knowledge",
    "stuff": "stuffed prompt",
    "langchain": "injected, LangChain",
    "llama_index": "injected, LlamaIndex",
}


@dataclass(frozen=True, slots=True)
class _Direct:
    """Searches and asks, with no host between."""

    model: DiekaeModel
    index: PassageIndex
    k: int
    mode: Mode

    def __call__(self, question: str) -> Answer:
        passages = [] if self.mode == "none" else self.index.search(question, self.k)
        return self.model.generate(question, passages, self.mode, max_new_tokens=MAX_NEW_TOKENS)


def choose_examples(questions: Sequence[Question]) -> list[Question]:
    """Picks about ten questions worth showing: each about something else, two without an answer."""
    by_relation: dict[str, Question] = {}
    for question in questions:
        if question.is_answerable:
            by_relation.setdefault(question.relation, question)
    unanswerable = [question for question in questions if not question.is_answerable]
    return [*by_relation.values()][:_ANSWERABLE_SHOWN] + unanswerable[:_UNANSWERABLE_SHOWN]


def run_demo(
    folder: str | Path,
    *,
    model: str = "demo",
    seed: int = 1,
    num_questions: int = 100,
    num_documents: int = 2000,
    k: int = 3,
    embedder: Embedder | str = "minilm",
    on_step: Callable[[str], object] = lambda step: None,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Writes documents, indexes them, and asks the same questions in four ways, one at a time.

    Args:
        folder: Where documents and index go; see ``build_library``.
        model: As for ``DiekaeModel.from_pretrained``.
        seed: Of the world.
        num_questions: How many questions are asked; some of them are shown.
        num_documents: How many documents the world has.
        k: Passages per question.
        embedder: What finds the passages.
        on_step: Told in words about each step before it begins.
        show_progress: Draw progress bars on stderr.

    Returns:
        A report of JSON values: ``ways`` (name -> shares of right answers, tokens, seconds to the
        first token), ``examples`` (question, right answer, and each way's answer), ``folder``,
        ``seed``, ``num_questions``, ``num_documents``, ``k``, ``seconds``.

    Raises:
        ImportError: LangChain or LlamaIndex is not installed.
        FileExistsError: The folder holds something that the demo did not write.
    """
    began = time.perf_counter()
    world = World(seed, num_documents)
    on_step(f"loading the reader and its encoders ({model})")
    reader = DiekaeModel.from_pretrained(model)
    index = build_library(
        world, Path(folder), embedder, on_step=on_step, show_progress=show_progress
    )
    ways: dict[str, Callable[[str], Answer]] = {
        "none": _Direct(reader, index, k, "none"),
        "stuff": _Direct(reader, index, k, "stuff"),
        "langchain": langchain_way(reader, index, k, MAX_NEW_TOKENS),
        "llama_index": llama_index_way(reader, index, k, MAX_NEW_TOKENS),
    }
    on_step(f"asking {num_questions} questions in {len(ways)} ways, one at a time")
    questions = world.questions(num_questions)
    outcomes: dict[str, list[Outcome]] = {}
    for name, way in ways.items():
        way(questions[0].text)  # nobody pays for a cold start
        asked = track(
            questions,
            f"{_HEADINGS[name]:<22}",
            console=Console(stderr=True),
            disable=not show_progress,
        )
        outcomes[name] = [Outcome(Case(question, []), way(question.text)) for question in asked]
    return {
        "ways": {name: _summary(some) for name, some in outcomes.items()},
        "examples": _examples(choose_examples(questions), questions, outcomes),
        "folder": str(folder),
        "seed": seed,
        "num_questions": num_questions,
        "num_documents": num_documents,
        "k": k,
        "seconds": time.perf_counter() - began,
    }


def _summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    shares = summarise(outcomes)
    seconds = sorted(outcome.answer.usage.seconds_to_first_token for outcome in outcomes)
    return {
        "right": sum(outcome.is_right for outcome in outcomes) / len(outcomes),
        **{name: shares[name] for name in ("n", "exact_match", "n_unanswerable", "refusals_right")},
        **summarise_costs(outcomes),
        "seconds_to_first_token": seconds[len(seconds) // 2],
    }


def _examples(
    chosen: Sequence[Question],
    questions: Sequence[Question],
    outcomes: Mapping[str, Sequence[Outcome]],
) -> list[dict[str, Any]]:
    examples = []
    for question in chosen:
        at = questions.index(question)
        answers = {
            name: {"text": some[at].answer.text, "is_right": some[at].is_right}
            for name, some in outcomes.items()
        }
        examples.append(
            {"question": question.text, "expected": question.answer, "answers": answers}
        )
    return examples


def demo_tables(report: Mapping[str, Any]) -> RenderableType:
    """Lays out what ``run_demo`` returned, for people."""
    answers = Table(title="Some of the questions", show_lines=True)
    for heading in ("question", "right answer", *(_HEADINGS[name] for name in report["ways"])):
        answers.add_column(heading)
    for example in report["examples"]:
        cells = [_marked(answer) for answer in example["answers"].values()]
        answers.add_row(Text(example["question"]), Text(example["expected"]), *cells)
    return Group(answers, "", _totals(report), "", Text(_conclusion(report)))


def _marked(answer: Mapping[str, Any]) -> Text:
    mark, style = ("✓", "green") if answer["is_right"] else ("✗", "red")
    text = "".join(c if c.isprintable() else "\ufffd" for c in answer["text"])
    return Text(f"{mark} {text}", style=style)


def _totals(report: Mapping[str, Any]) -> Table:
    table = Table(title=f"All {report['num_questions']} questions")
    table.add_column("", style="bold")
    for heading in ("answers right", "refusals right", "tokens read", "kept out", "first token"):
        table.add_column(heading, justify="right")
    for name, way in report["ways"].items():
        table.add_row(
            _HEADINGS[name],
            f"{percent(way['exact_match'])} of {way['n']}",
            f"{percent(way['refusals_right'])} of {way['n_unanswerable']}",
            f"{way['prompt_tokens']:.0f}",
            f"{way['knowledge_tokens_kept_out']:.0f}",
            f"{way['seconds_to_first_token'] * 1000:.1f} ms",
        )
    return table


def _conclusion(report: Mapping[str, Any]) -> str:
    ways = report["ways"]
    chain, engine, stuffed = ways["langchain"], ways["llama_index"], ways["stuff"]
    return (
        f"The same frozen reader got {percent(chain['exact_match'])} of the answers through a "
        f"LangChain chain and {percent(engine['exact_match'])} through a LlamaIndex query engine, "
        f"reading {chain['prompt_tokens']:.0f} and {engine['prompt_tokens']:.0f} tokens and none "
        f"of the passages; with the passages in its prompt, {percent(stuffed['exact_match'])} and "
        f"{stuffed['prompt_tokens']:.0f} tokens. Documents and index are in {report['folder']}; "
        f'ask them: diekae ask {report["folder"]}/index "..."'
    )

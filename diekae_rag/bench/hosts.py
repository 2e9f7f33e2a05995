"""What calling the model through a host's class costs over calling it directly.

Beside ``diekae_rag.demo.hosts`` the only file of the core that knows the two hosts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.progress import Progress

from diekae_rag.bench.machine import describe_machine
from diekae_rag.demo.worlds import World
from diekae_rag.evaluation.cases import Case, find_cases, index_world
from diekae_rag.index import Embedder
from diekae_rag.model import DiekaeModel
from diekae_rag.progress import progress_bars

__all__ = ["measure_hosts"]

_Ways = dict[str, Callable[[Case], Callable[[], str]]]
_Asked = dict[str, Callable[[], str]]


def measure_hosts(
    model: DiekaeModel,
    *,
    seed: int = 1,
    num_questions: int = 100,
    num_documents: int = 2000,
    k: int = 3,
    rounds: int = 3,
    embedder: Embedder | str = "minilm",
    show_progress: bool = True,
) -> dict[str, Any]:
    """Asks a world's questions of the model and of both hosts' classes, in turn.

    Every question is asked of all three, one after the other, with the passages found for it
    beforehand; an overhead is the median of the ratios question by question.

    Args:
        model: Who answers.
        seed: Of the world.
        num_questions: How many questions.
        num_documents: Size of the world.
        k: Passages for each question.
        rounds: How often each question is asked.
        embedder: What finds the passages.
        show_progress: Draw a progress bar on stderr.

    Returns:
        A report of JSON values: ``calls`` (``core``, ``langchain``, ``llama_index`` ->
        ``seconds``, the median; of the hosts also ``overhead``, a share of the core's call, and
        ``seconds_more``), ``goal``, ``num_calls`` and ``machine``.

    Raises:
        ImportError: A host is not installed.
        RuntimeError: A host answered otherwise than the model itself.
    """
    world = World(seed, num_documents)
    index = index_world(world, embedder, show_progress=show_progress)
    ways = _ways(model)
    cases = find_cases(index, world.questions(num_questions), k)
    asked = [{name: prepare(case) for name, prepare in ways.items()} for case in cases]
    seconds: dict[str, list[float]] = {name: [] for name in asked[0]}
    for question in asked[:3]:  # no host pays for a cold start
        _agree({name: ask() for name, ask in question.items()})
    with progress_bars(show_progress) as progress:
        _time(asked * rounds, seconds, progress)
    core = seconds["core"]
    calls: dict[str, dict[str, float]] = {}
    for name, own in seconds.items():
        calls[name] = {"seconds": statistics.median(own)}
        if name != "core":
            pairs = list(zip(core, own, strict=True))
            calls[name]["overhead"] = statistics.median(b / a for a, b in pairs) - 1
            calls[name]["seconds_more"] = statistics.median(b - a for a, b in pairs)
    return {
        "calls": calls,
        "goal": {"overhead": 0.05},
        "num_calls": len(core),
        "machine": describe_machine(model.device),
    }


def _time(asked: Sequence[_Asked], seconds: dict[str, list[float]], progress: Progress) -> None:
    task = progress.add_task("questions", total=len(asked))
    for question in asked:
        answers = {}
        for name, ask in question.items():
            began = time.perf_counter()
            answers[name] = ask()
            seconds[name].append(time.perf_counter() - began)
        _agree(answers)
        progress.advance(task)


def _agree(answers: dict[str, str]) -> None:
    if len(set(answers.values())) > 1:
        raise RuntimeError(f"the same question was answered differently: {answers}.")


def _ways(model: DiekaeModel) -> _Ways:
    """From a question to what asks it: of the model, and of each host with its own documents."""
    try:
        from langchain_core.documents import Document
        from langchain_diekae import DiekaeLLM
        from llama_index.core.schema import NodeWithScore, TextNode
        from llama_index.llms.diekae import DiekaeLLM as DiekaeLlamaIndexLLM
    except ImportError as error:
        raise ImportError(
            f'{error.name} is not installed; this needs both hosts: pip install "diekae-rag[demo]"'
        ) from error
    langchain, llama_index = DiekaeLLM(engine=model), DiekaeLlamaIndexLLM(engine=model)

    def core_way(case: Case) -> Callable[[], str]:
        return lambda: model.generate(case.question.text, case.passages).text

    def langchain_way(case: Case) -> Callable[[], str]:
        documents = [Document(p.text, id=p.id, metadata={"score": p.score}) for p in case.passages]
        return lambda: langchain.invoke(case.question.text, documents=documents)

    def llama_index_way(case: Case) -> Callable[[], str]:
        nodes = [
            NodeWithScore(node=TextNode(text=p.text, id_=p.id), score=p.score)
            for p in case.passages
        ]
        return lambda: llama_index.complete(case.question.text, documents=nodes).text

    return {"core": core_way, "langchain": langchain_way, "llama_index": llama_index_way}

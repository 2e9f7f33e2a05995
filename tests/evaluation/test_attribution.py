import json

import pytest
from rich.console import Console

from diekae_rag import DiekaeModel, Passage
from diekae_rag.answers import Answer, Usage
from diekae_rag.attribution import share_out
from diekae_rag.demo.worlds import World
from diekae_rag.evaluation import Arm, evaluate_attribution
from diekae_rag.evaluation.attribution import attribution_table, summarise_attribution
from diekae_rag.evaluation.cases import Case
from diekae_rag.evaluation.outcomes import Outcome

WORLD = World(seed=1, num_documents=20)
ANSWERABLE = [q for q in WORLD.questions(10) if q.is_answerable]
UNANSWERABLE = [q for q in WORLD.questions(10) if not q.is_answerable]


def outcome(question, text, values, holder=0):
    """An answer of passages with these values, of which the one at ``holder`` holds the fact."""
    ids = [str(question.document) if n == holder else f"other {n}" for n in range(len(values))]
    passages = [Passage("text", id=id) for id in ids]
    usage = Usage(attribution_tokens=10)
    answer = Answer(text, passages, usage, attribution=share_out(values))
    return Outcome(Case(question, passages), answer)


def test_what_counts_is_the_passage_of_each_right_answer():
    first, second, third, fourth = ANSWERABLE[:4]
    summary = summarise_attribution(
        [
            outcome(first, first.answer, [6.0, 2.0, -1.0]),
            outcome(second, second.answer, [1.0, 3.0]),
            outcome(third, third.answer, [3.0, 1.0], holder=None),
            outcome(fourth, "wrong", [3.0, 1.0]),
            outcome(UNANSWERABLE[0], "I do not know.", [3.0, 1.0]),
        ]
    )
    assert (summary["n_right"], summary["highest"]) == (3, 1 / 3)
    assert summary["share"] == (0.75 + 0.25) / 2
    assert summary["attribution_tokens"] == 10


def test_a_tie_is_not_the_highest():
    question = ANSWERABLE[0]
    summary = summarise_attribution([outcome(question, question.answer, [0.0, 0.0])])
    assert summary["highest"] == 0


def test_no_right_answers_are_no_share():
    summary = summarise_attribution([outcome(ANSWERABLE[0], "wrong", [1.0])])
    assert summary["n_right"] == 0
    assert summary["highest"] is summary["highest_interval"] is summary["share"] is None


@pytest.mark.parametrize(
    "wrong", [{"num_questions": 0}, {"k": 0}, {"num_timed": 0}, {"num_documents": 0}]
)
def test_numbers_that_make_no_sense_are_refused(make_model, wrong):
    with pytest.raises(ValueError, match="must be"):
        evaluate_attribution([Arm("stuff", make_model(), "stuff")], seed=1, **wrong)


def test_arms_that_cannot_be_are_refused(make_model):
    with pytest.raises(ValueError, match="no arm"):
        evaluate_attribution([], seed=1)
    with pytest.raises(ValueError, match="reads no passages"):
        evaluate_attribution([Arm("none", make_model(), "none")], seed=1)


@pytest.mark.parametrize("k", [3, 5])
def test_the_passage_that_holds_the_fact_contributes_most(k):
    model = DiekaeModel.from_pretrained("demo")
    report = evaluate_attribution(
        [Arm("inject", model, "inject")],
        seed=777,
        num_questions=60,
        k=k,
        num_documents=100,
        num_timed=5,
        show_progress=False,
    )
    figures = report["arms"]["inject"]
    assert figures["n_right"] >= 40
    assert figures["highest"] >= 0.95
    assert figures["share"] > 0.9
    assert figures["seconds_with_attribution"] > figures["seconds"] > 0
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    console = Console(width=100)
    with console.capture() as captured:
        console.print(attribution_table(report))
    assert f"k = {k}" in captured.get()
    assert str(figures["n_right"]) in captured.get()

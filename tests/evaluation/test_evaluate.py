import json

import pytest
from rich.console import Console

from diekae_rag.answers import Answer, Usage
from diekae_rag.demo.worlds import REFUSAL, World
from diekae_rag.evaluation import Arm, evaluate, load_arms
from diekae_rag.evaluation.cases import Case, find_cases, index_world, recall
from diekae_rag.evaluation.outcomes import Outcome, summarise
from diekae_rag.evaluation.tables import report_tables
from diekae_rag.passages import Passage

SUMMARY = {
    "n",
    "n_retrieved",
    "n_unanswerable",
    *(
        f"{name}{end}"
        for name in ("exact_match", "exact_match_retrieved", "refusals_right", "wrong_refusals")
        for end in ("", "_interval")
    ),
}
COSTS = {
    "prompt_tokens",
    "knowledge_tokens",
    "knowledge_tokens_kept_out",
    "new_tokens",
    "seconds_to_first_token",
}
NAMES = ["none", "stuff", "inject", "inject_distilled", "combine"]
SHARED = {
    "sharing": "shared",
    "passage_attention": "independent",
    "positions": "all",
    "max_passage_tokens": 160,
}


@pytest.fixture
def weights(make_model, tokenizer, tmp_path):
    """A reader and two stages of encoders on disk, as they ship."""
    model = make_model(**SHARED, base_model_name_or_path="../reader")
    model.base.save_pretrained(tmp_path / "reader")
    tokenizer.save_pretrained(tmp_path / "reader")
    model.encoders.save_pretrained(tmp_path / "encoders")
    model.encoders.save_pretrained(tmp_path / "encoders_distilled")
    return tmp_path


@pytest.fixture
def report(weights):
    return evaluate(
        load_arms(str(weights / "encoders")),
        seed=7,
        num_questions=20,
        num_documents=30,
        num_split_questions=5,
        show_progress=False,
    )


def test_a_report_has_the_documented_shape(report):
    assert list(report["arms"]) == NAMES
    assert all(set(arm) == SUMMARY | COSTS for arm in report["arms"].values())
    assert {arm["n"] for arm in report["arms"].values()} == {16}
    assert {arm["n_unanswerable"] for arm in report["arms"].values()} == {4}
    assert list(report["by_passages"]) == ["1", "3", "5"]
    assert all(list(split) == NAMES for split in report["by_passages"].values())
    assert list(report["heldout_wordings"]) == NAMES
    assert set(report["heldout_wordings"]["inject"]) == SUMMARY
    lengths = [split["inject"]["n"] for split in report["by_answer_length"].values()]
    assert sum(lengths) == 16
    assert set(report["retrieval"]["recall_at"]) == {"1", "3", "5"}
    assert report["weights"]["share"] == pytest.approx(
        report["weights"]["encoders"] / report["weights"]["reader"]
    )
    assert (report["seed"], report["num_questions"], report["k"]) == (7, 20, 3)
    assert report["num_documents"] == 30
    assert report["seconds"] > 0
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_report_can_be_laid_out_for_people(report):
    console = Console(width=160)
    with console.capture() as captured:
        console.print(report_tables(report))
    assert all(name in captured.get() for name in NAMES)


def test_injecting_reads_as_many_tokens_as_no_knowledge(report):
    read = {name: arm["prompt_tokens"] for name, arm in report["arms"].items()}
    kept_out = {name: arm["knowledge_tokens_kept_out"] for name, arm in report["arms"].items()}
    assert read["none"] == read["inject"] == read["inject_distilled"] < read["stuff"]
    assert read["stuff"] == read["combine"]
    assert kept_out["inject"] > 0 == kept_out["stuff"] == kept_out["combine"]


def test_the_splits_can_be_left_out(make_model):
    arms = [Arm("stuff", make_model(**SHARED), "stuff")]
    report = evaluate(
        arms,
        seed=1,
        num_questions=4,
        num_documents=5,
        num_split_questions=0,
        show_progress=False,
    )
    assert report["by_passages"] == report["heldout_wordings"] == {}
    Console(quiet=True).print(report_tables(report))


def test_without_distilled_encoders_that_arm_is_left_out(weights):
    (weights / "encoders_distilled" / "config.json").unlink()
    arms = load_arms(str(weights / "encoders"))
    assert [arm.name for arm in arms] == ["none", "stuff", "inject", "combine"]


def test_an_arm_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="there is no arm 'guess'"):
        load_arms("demo", ["guess"])


@pytest.mark.parametrize(
    "wrong", [{"num_questions": 0}, {"k": 0}, {"num_split_questions": -1}, {"num_documents": 0}]
)
def test_numbers_that_make_no_sense_are_refused(make_model, wrong):
    arms = [Arm("none", make_model(**SHARED), "none")]
    with pytest.raises(ValueError, match="must be"):
        evaluate(arms, seed=1, show_progress=False, **wrong)


def test_an_evaluation_without_arms_is_refused():
    with pytest.raises(ValueError, match="no arm"):
        evaluate([], seed=1)


def test_fewer_passages_are_what_a_search_for_fewer_finds():
    world = World(seed=3, num_documents=40)
    index, questions = index_world(world), world.questions(10)
    wide, narrow = find_cases(index, questions, 5), find_cases(index, questions, 2)
    assert [case.first(2).passages for case in wide] == [case.passages for case in narrow]
    assert recall(wide).value >= recall(narrow).value


def outcome(question, text, retrieved=True):
    passages = [Passage("text", id=str(question.document) if retrieved else "other")]
    return Outcome(Case(question, passages), Answer(text, usage=Usage()))


def test_what_is_right_is_counted_apart_from_what_was_found():
    questions = World(seed=1, num_documents=20).questions(10)
    answerable = [question for question in questions if question.is_answerable]
    unanswerable = [question for question in questions if not question.is_answerable]
    summary = summarise(
        [
            outcome(answerable[0], answerable[0].answer.upper() + "!"),
            outcome(answerable[1], "wrong"),
            outcome(answerable[2], REFUSAL),
            outcome(answerable[3], REFUSAL, retrieved=False),
            outcome(unanswerable[0], "i do not know"),
            outcome(unanswerable[1], "Kolwick"),
        ]
    )
    assert (summary["n"], summary["n_retrieved"], summary["n_unanswerable"]) == (4, 3, 2)
    assert summary["exact_match"] == 1 / 4
    assert summary["exact_match_retrieved"] == summary["wrong_refusals"] == 1 / 3
    assert summary["refusals_right"] == 1 / 2

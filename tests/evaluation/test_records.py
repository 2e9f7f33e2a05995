import json
import math

import pytest
from rich.console import Console

from diekae_rag import DiekaeModel
from diekae_rag.data import Record
from diekae_rag.demo.worlds import World
from diekae_rag.evaluation import Arm, evaluate_records, load_arms
from diekae_rag.evaluation.record_tables import records_tables
from diekae_rag.evaluation.records import answer_records, sample_records

FAST = {"num_resamples": 20, "max_new_tokens": 4, "num_timed": 1, "show_progress": False}
WITH_INTERVALS = ("exact_match", "f1", "loss", "perplexity")
FIGURES = {
    *WITH_INTERVALS,
    *(f"{name}_interval" for name in WITH_INTERVALS),
    "prompt_tokens",
    "knowledge_tokens",
    "knowledge_tokens_kept_out",
    "new_tokens",
    "truncated_records",
    "seconds_to_first_token",
    "seconds_per_question",
    "peak_memory_bytes",
    "trainable_weights",
    "training_seconds",
    "training_peak_memory_bytes",
}


@pytest.fixture
def report(arms, records):
    return evaluate_records(arms, records, **FAST)


def test_a_report_has_the_documented_shape(report, arms):
    assert list(report["arms"]) == [arm.name for arm in arms]
    assert all(set(arm) == FIGURES for arm in report["arms"].values())
    assert set(report["retention"]) <= {"inject", "combine"}
    assert (report["num_records"], report["num_given"], report["num_timed"]) == (5, 5, 1)
    assert (report["seed"], report["max_new_tokens"], report["device"]) == (0, 4, "cpu")
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_a_report_can_be_laid_out_for_people(report, arms):
    console = Console(width=80)
    with console.capture() as captured:
        console.print(records_tables(report, "mine"))
    assert all(arm.name in captured.get() for arm in arms)
    assert "…" not in captured.get()  # nothing is cut in a terminal of the usual width
    assert "mine: 5 records" in captured.get()


def test_loss_is_that_of_scoring_one_by_one(report, arms, records):
    for arm in arms:
        nats = [arm.model.score(r.prompt, r.answer, r.passages, arm.mode) for r in records]
        loss = -sum(nats) / report["answer_tokens"]
        assert report["arms"][arm.name]["loss"] == pytest.approx(loss, rel=1e-4)
        assert report["arms"][arm.name]["perplexity"] == pytest.approx(math.exp(loss), rel=1e-3)


def test_injecting_reads_as_many_tokens_as_no_passages(report):
    read = {name: arm["prompt_tokens"] for name, arm in report["arms"].items()}
    assert read["none"] == read["inject"] < read["stuff"] == read["combine"]


def test_records_answered_in_batches_are_answered_as_alone(arms, records):
    for arm in arms:
        together = answer_records(arm, records, max_new_tokens=6, batch_size=3)
        alone = [
            arm.model.generate(r.prompt, r.passages, arm.mode, max_new_tokens=6) for r in records
        ]
        assert [answer.text for answer in together] == [answer.text for answer in alone]


def test_what_the_arm_itself_says_counts_as_right_and_as_any_of_several(arms, records):
    answers = answer_records(arms[0], records, max_new_tokens=4)
    said = [
        Record(r.prompt, "wrong", r.passages, ("wrong", answer.text))
        for r, answer in zip(records, answers, strict=True)
    ]
    report = evaluate_records(arms[:2], [*said, Record("Who?", "no such answer")], **FAST)
    assert report["arms"]["none"]["exact_match"] == pytest.approx(5 / 6)
    assert report["arms"]["none"]["f1"] == pytest.approx(5 / 6)
    assert report["arms"]["stuff"]["exact_match"] < 5 / 6


def test_the_same_seed_gives_the_same_figures(arms, records):
    first, second = (
        evaluate_records(arms, records, seed=5, num_records=3, **FAST)["arms"]["inject"]
        for _ in range(2)
    )
    assert {key: first[key] for key in FIGURES if "seconds" not in key and "peak" not in key} == {
        key: second[key] for key in FIGURES if "seconds" not in key and "peak" not in key
    }


def test_time_and_memory_can_be_left_out(arms, records):
    report = evaluate_records(arms[:1], records, **FAST | {"num_timed": 0})
    assert report["arms"]["none"]["seconds_per_question"] is None
    assert report["arms"]["none"]["peak_memory_bytes"] is None
    Console(quiet=True).print(records_tables(report, "mine"))


@pytest.mark.parametrize(("wanted", "count"), [(None, 5), (3, 3), (9, 5)])
def test_records_are_drawn_once_each(records, wanted, count):
    drawn = sample_records(records, wanted, seed=2)
    assert len(drawn) == len(set(drawn)) == count
    assert set(drawn) <= set(records)


def test_passages_that_were_cut_are_counted_and_not_warned_about(arms, recwarn):
    long = Record("Who?", "Ada", ("Ada has a goat. " * 80,))
    report = evaluate_records(arms, [long, Record("Who?", "Bob", ("Bob.",))], **FAST)
    cut = {name: arm["truncated_records"] for name, arm in report["arms"].items()}
    assert cut == {"none": 0, "stuff": 1, "inject": 1, "combine": 1}
    assert not [warning for warning in recwarn if "truncated" in str(warning.message)]


@pytest.mark.parametrize(
    "wrong",
    [{"num_records": 0}, {"max_new_tokens": 0}, {"batch_size": 0}, {"num_resamples": 0}],
)
def test_numbers_that_make_no_sense_are_refused(arms, records, wrong):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        evaluate_records(arms, records, **FAST | wrong)


def test_an_evaluation_of_nothing_is_refused(arms, records, shared):
    with pytest.raises(ValueError, match="no arm"):
        evaluate_records([], records)
    with pytest.raises(ValueError, match="no records"):
        evaluate_records(arms, [])
    with pytest.raises(ValueError, match="two arms have one name"):
        evaluate_records([Arm("none", shared, "none")] * 2, records)


def test_a_record_that_does_not_fit_is_named_before_anything_runs(arms, records):
    long = Record("goat " * 600, "Bob")
    with pytest.raises(ValueError, match=r"'goat goat .* has 512 positions; shorten it"):
        evaluate_records(arms, [*records, long], **FAST)


@pytest.fixture(scope="module")
def demo_report():
    """The reader that ships, on records of a world that it never saw."""
    world = World(11, 40)
    records = [
        Record(q.text, q.answer, (world.documents[q.document].text,))
        for q in world.questions(30)
        if q.is_answerable
    ]
    arms = load_arms("demo", ["none", "stuff", "inject"])
    return evaluate_records(
        arms, records, max_new_tokens=24, num_timed=0, num_resamples=200, show_progress=False
    )


def test_the_reader_that_ships_keeps_what_stuffing_gains(demo_report):
    none, stuff, inject = demo_report["arms"].values()
    assert none["exact_match"] < 0.2 < 0.8 < min(stuff["exact_match"], inject["exact_match"])
    assert none["loss"] > stuff["loss"]
    assert demo_report["retention"]["inject"]["exact_match"] > 0.8
    low, high = demo_report["retention"]["inject"]["exact_match_interval"]
    assert low <= demo_report["retention"]["inject"]["exact_match"] <= high


def test_a_model_can_be_evaluated_that_was_made_by_hand(shared, records):
    assert isinstance(shared, DiekaeModel)
    report = evaluate_records([Arm("mine", shared, "inject")], records, **FAST)
    assert report["retention"] == {}

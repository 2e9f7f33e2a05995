import json
import random

import pytest
import torch
from rich.console import Console

from diekae_rag.data import Record
from diekae_rag.evaluation import evaluate_reasoning
from diekae_rag.evaluation.head import train_head
from diekae_rag.evaluation.reasoning import labels_of, likeliest_labels
from diekae_rag.evaluation.record_tables import reasoning_table

LABELS = ["True", "False", "Unknown"]


def clusters(n, seed, spread=0.3):
    """Points around three centres in 16 dimensions, and the label of each one's centre."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    which = torch.randint(3, (n,), generator=generator)
    points = centres[which] + spread * torch.randn(n, 16, generator=generator)
    return points, [LABELS[i] for i in which]


def accuracy(given, right):
    return sum(one == other for one, other in zip(given, right, strict=True)) / len(right)


@pytest.fixture
def statements():
    """A split of statements, half of them in the passage."""

    def draw(n, seed):
        rng = random.Random(seed)
        pets = ("goat", "horse", "parrot")
        records = []
        for _ in range(n):
            had, asked = rng.choice(pets), rng.choice(pets)
            passages = (f"Ada has a {had}.",)
            records.append(Record(f"Ada has a {asked}.", str(had == asked), passages))
        return records

    return draw


def test_a_head_learns_what_can_be_told_apart():
    head = train_head(*clusters(300, seed=1))
    features, right = clusters(300, seed=2)
    assert accuracy(head(features), right) > 0.99


def test_a_head_learns_nothing_from_shuffled_labels():
    features, labels = clusters(300, seed=1)
    random.Random(0).shuffle(labels)
    head = train_head(features, labels)
    held_out, right = clusters(300, seed=2)
    assert accuracy(head(held_out), right) < 0.6


def test_a_head_does_not_mind_the_features_scale_or_place():
    features, labels = clusters(200, seed=1, spread=2.0)
    held_out, _ = clusters(200, seed=2, spread=2.0)
    head, moved = train_head(features, labels), train_head(1000 * features - 50, labels)
    assert accuracy(head(held_out), moved(1000 * held_out - 50)) == 1


def test_a_report_has_the_documented_shape(arms, statements):
    report = evaluate_reasoning(
        arms, statements(24, 1), statements(10, 2), ["True", "False"], show_progress=False
    )
    figures = {"scored", "scored_interval", "head", "head_interval", "head_on_train"}
    assert list(report["arms"]) == [arm.name for arm in arms]
    assert all(set(arm) == figures for arm in report["arms"].values())
    assert (report["num_train"], report["num_valid"]) == (24, 10)
    assert 0 < report["majority"] < 1
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    console = Console(width=120)
    with console.capture() as captured:
        console.print(reasoning_table(report, "pets"))
    assert "pets: True, False, 10 records" in captured.get()


def test_heads_tell_from_the_passages_what_the_prompt_does_not_say(arms):
    def draw(seed):
        rng = random.Random(seed)
        told = [rng.choice(["Yes, it is true.", "No, never."]) for _ in range(40)]
        return [Record("Is it?", "True" if t[0] == "Y" else "False", (t,)) for t in told]

    report = evaluate_reasoning(arms, draw(1), draw(2), ["True", "False"], show_progress=False)
    heads = {name: arm["head"] for name, arm in report["arms"].items()}
    assert heads["stuff"] == heads["inject"] == heads["combine"] == 1
    assert heads["none"] == report["majority"]  # the same prompt everywhere


def test_a_label_is_scored_as_the_answer_that_it_is(arms, statements):
    records = statements(5, 3)
    for arm in arms:
        alone = [
            max(LABELS, key=lambda label: arm.model.score(r.prompt, label, r.passages, arm.mode))
            for r in records
        ]
        assert likeliest_labels(arm, records, LABELS) == alone


def test_what_is_measured_on_is_not_trained_on(arms, statements):
    train, valid = statements(24, 1), statements(10, 2)
    flipped = [Record(r.prompt, str(r.answer != "True"), r.passages) for r in valid]
    once, again = (
        evaluate_reasoning(arms[:1], train, part, ["True", "False"], show_progress=False)
        for part in (valid, flipped)
    )
    for name in ("scored", "head"):
        assert once["arms"]["none"][name] == pytest.approx(1 - again["arms"]["none"][name])


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["True"], "two or more"), (["True", "true."], "two or more"), (["Yes", "No"], "none of Yes")],
)
def test_labels_that_do_not_fit_are_refused(statements, labels, message):
    with pytest.raises(ValueError, match=message):
        labels_of(statements(4, 0), labels)


def test_a_head_for_one_label_is_refused(arms, statements):
    alike = [Record("Is it?", "True")] * 4
    with pytest.raises(ValueError, match="all 4 training records have the label 'True'"):
        evaluate_reasoning(arms, alike, statements(4, 0), ["True", "False"], show_progress=False)
    with pytest.raises(ValueError, match="3 rows of features came with 2 labels"):
        train_head(torch.zeros(3, 2), ["a", "b"])
    with pytest.raises(ValueError, match="no records to train"):
        train_head(torch.zeros(0, 2), [])

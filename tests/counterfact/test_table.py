"""Edits measured: what is drawn and asked, what figures mean, and what every condition promises."""

from __future__ import annotations

import json
import math
from collections import Counter
from zlib import crc32

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.counterfact import __main__ as command
from diekae_rag.counterfact.facts import Facts, fact_text, template_of
from diekae_rag.counterfact.matching import measure_matching
from diekae_rag.counterfact.relations import relation_names
from diekae_rag.counterfact.table.arms import AsKnowledge, InContext, Unedited
from diekae_rag.counterfact.table.asking import ask, forced_texts
from diekae_rag.counterfact.table.goals import check_goals
from diekae_rag.counterfact.table.measuring import Measurer
from diekae_rag.counterfact.table.metrics import (
    Reply,
    figures_of,
    fluency,
    harmonic_mean,
    ngram_entropy,
)
from diekae_rag.counterfact.table.questions import Question, Questions
from diekae_rag.counterfact.table.report import measure_table
from diekae_rag.counterfact.table.sets import NamedSubjects, draw_sets
from diekae_rag.counterfact.table.setting import ARMS, CONDITIONS, CellOfEdits, table_cells
from diekae_rag.counterfact.table.tuned import Tuned
from diekae_rag.data.sets import Edit
from diekae_rag.training.loop import default_accelerator
from tests.conftest import build_base, build_encoders
from tests.counterfact.conftest import TOWNS, written

TEMPLATES = ("The home of {} is", "{} works in", "{} was born in")


def fact(number):
    """An invented fact, one to a subject, whose neighbour has the same template."""
    template, true, new = TEMPLATES[number % 3], TOWNS[number % 6], TOWNS[(number + 1) % 6]
    return Edit(
        f"Ada{number:03}x",
        template.replace("{}", f"Ada{number:03}x"),
        true,
        new,
        (f"Number {number}! {TEMPLATES[number % 3].replace('{}', f'Ada{number:03}x')} now",),
        (template.replace("{}", f"Eva{number:03}"),),
    )


FACTS = Facts(
    tuple(fact(number) for number in range(120)), tuple(fact(number) for number in range(120, 140))
)
EDIT = FACTS.valid[0]


class WordEmbedder:
    """A vector for each text by its words: enough to tell wordings apart."""

    name = "words"

    def embed(self, texts, *, show_progress=False):
        vectors = np.zeros((len(texts), 16), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, crc32(word.encode()) % 16] += 1
        return vectors / np.maximum(1e-6, np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture
def folder(tokenizer, tmp_path):
    """A reader and its encoders, with random weights."""
    base = build_base(len(tokenizer))
    base.save_pretrained(tmp_path / "run" / "base")
    tokenizer.save_pretrained(tmp_path / "run" / "base")
    encoders = build_encoders(
        sharing="shared",
        passage_attention="independent",
        positions="all",
        base_model_name_or_path="../base",
    )
    encoders.save_pretrained(tmp_path / "run" / "encoders")
    return tmp_path / "run"


@pytest.fixture
def measurer(folder):
    """What measures cells of these facts."""
    return Measurer(FACTS, folder, WordEmbedder(), num_unrelated=6, rounds=2)


@pytest.fixture(scope="module")
def sets():
    """Sets of 30 edits at most."""
    return draw_sets(FACTS, most=30, num_unrelated=10)


def cell(arm, count, condition="added", **choices):
    """A cell that asks little."""
    return CellOfEdits(arm, count, condition, num_asked=8, num_unrelated=6, **choices)


def test_a_smaller_set_begins_a_larger_one_and_held_out_edits_come_first(sets):
    assert sets.edits[: sets.num_held_out] == tuple(e for e in sets.edits if e in FACTS.valid)
    assert len(sets.edits) == 30
    assert sets.of(10, 9) == [sets.edits[:10], sets.edits[10:20]]
    assert sets.of(30, 9) == [sets.edits]
    assert draw_sets(FACTS, most=12).edits == sets.edits[:12]


def test_sets_of_another_seed_are_others(sets):
    assert draw_sets(FACTS, most=30, seed=1).edits != sets.edits


def test_nothing_unrelated_and_no_example_is_about_an_edited_subject(sets):
    named = NamedSubjects(sets.edits)
    prompts = [*sets.unrelated, *(example["prompt"] for example in sets.examples)]

    assert sets.unrelated
    assert sets.examples
    assert not [prompt for prompt in prompts if named.in_prompt(prompt)]
    assert not set(sets.unrelated) & {example["prompt"] for example in sets.examples}


def test_a_fact_is_edited_once_however_it_is_worded():
    again = Edit(EDIT.subject, f"As for {EDIT.subject}, home is", EDIT.target_true, "Rome")
    twice = Facts(FACTS.train, (EDIT, again))

    drawn = [edit for edit in draw_sets(twice, most=30).edits if edit.subject == EDIT.subject]

    assert len(drawn) == 1


def test_templates_are_of_one_relation_where_neighbours_say_so():
    def edit(number, template, neighbour):
        name = f"Ada{number}"
        said = template.replace("{}", name)
        return Edit(name, said, "Bern", "Oslo", (), (neighbour.replace("{}", f"Eva{number}"),))

    one, same, other = TEMPLATES
    edits = [edit(n, one, same) for n in range(5)] + [edit(n, other, other) for n in range(5, 9)]
    names = relation_names(Facts((*edits, edit(9, same, same)), ()))

    assert names[one] == names[same] != names[other]


def test_each_edit_is_asked_by_all_its_prompts(sets):
    asked = Questions(sets).about([EDIT])

    assert [(q.kind, q.prompt) for q in asked] == [
        ("efficacy", EDIT.prompt),
        ("paraphrase", EDIT.paraphrase_prompts[0]),
        ("neighbourhood", EDIT.neighborhood_prompts[0]),
    ]
    assert [(q.wanted, q.other) for q in asked[1:]] == [
        (EDIT.target_new, EDIT.target_true),
        (EDIT.target_true, EDIT.target_new),
    ]


def test_a_neighbour_that_an_edit_changes_is_not_asked():
    other = Edit("Bo", "Bo lives in", EDIT.target_true, "Rome")
    beside = Edit(
        EDIT.subject, EDIT.prompt, EDIT.target_true, EDIT.target_new, (), ("The home of Bo is",)
    )
    sets = draw_sets(Facts(FACTS.train, (beside, other)), most=30)

    asked = Questions(sets).about([beside])

    assert [question.kind for question in asked] == ["efficacy"]


def test_figures_are_one_where_all_is_as_wanted_and_nothing_where_it_is_not(sets):
    questions = Questions(sets).about(sets.edits[:5])
    right = figures_of(questions, [Reply(f" {q.wanted} ", -1.0, -2.0) for q in questions])
    wrong = figures_of(questions, [Reply(q.other, -2.0, -1.0) for q in questions])

    assert set(right["success"].values()) == set(right["accuracy"].values()) == {1.0}
    assert set(wrong["success"].values()) == set(wrong["accuracy"].values()) == {0.0}
    assert right["asked"] == {"efficacy": 5, "paraphrase": 5, "neighbourhood": 5}


def test_kinds_that_were_not_asked_have_no_figure():
    figures = figures_of([Question("efficacy", "a", "b", "c", EDIT)], [Reply("b", -1.0, -1.0)])

    assert figures["success"] == {"efficacy": 0.0}
    assert figures["accuracy"] == {"efficacy": 1.0}


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_a_harmonic_mean_lies_between_the_least_and_the_mean(shares):
    mean = harmonic_mean(shares)

    assert min(shares) - 1e-9 <= mean <= sum(shares) / len(shares) + 1e-9


@given(st.lists(st.integers(0, 5), max_size=30), st.sampled_from([2, 3]))
def test_entropy_counts_kinds_of_ngrams_and_not_what_they_are(tokens, size):
    entropy = ngram_entropy(tokens, size)
    runs = Counter(zip(*(tokens[k:] for k in range(size)), strict=False))

    assert -1e-9 <= entropy <= math.log2(max(1, len(runs))) + 1e-9
    assert ngram_entropy([7 - token for token in tokens], size) == pytest.approx(entropy)
    assert (entropy > 0) == (len(runs) > 1)


def test_fluency_is_the_mean_over_texts():
    texts = [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]]

    assert fluency(texts) == pytest.approx(fluency(texts[:1]) / 2)
    assert fluency([]) == 0


def test_many_questions_are_answered_as_each_alone(measurer, sets):
    questions = Questions(sets).about(sets.edits[:4])
    with AsKnowledge(measurer.model, WordEmbedder()).edited(sets.edits[:4]) as edited:
        replies = ask(edited, questions)
        alone = [edited.model.generate(q.prompt, max_new_tokens=12).text for q in questions]
        scores = [edited.model.score(q.prompt, q.wanted) for q in questions]

    assert [reply.text for reply in replies] == alone
    assert [reply.wanted for reply in replies] == pytest.approx(scores, abs=1e-4)


def test_in_context_reads_the_edit_before_the_prompt(measurer, sets):
    question = Questions(sets).about(sets.edits[:1])[0]
    with InContext(measurer.model).edited(sets.edits[:1]) as edited:
        (reply,) = ask(edited, [question])

    passage = fact_text(question.edit.prompt, question.edit.target_new)
    stuffed = measurer.model.score(question.prompt, question.wanted, [passage], "stuff")
    assert reply.wanted == pytest.approx(stuffed, abs=1e-4)


def test_forced_text_has_its_length_whatever_would_end_it(measurer, sets):
    with Unedited(measurer.model).edited(()) as unedited:
        texts = forced_texts(unedited, list(sets.unrelated[:3]), [[], [], []], 9)

    assert [len(text) for text in texts] == [9, 9, 9]


def test_unrelated_prompts_are_bit_identical_for_knowledge_and_not_in_context(measurer):
    cells = {arm: measurer.measure(cell(arm, 10)) for arm in ("as_knowledge", "in_context")}

    assert cells["as_knowledge"]["bit_identical"] == 1.0
    assert cells["in_context"]["bit_identical"] < 1
    assert len(measurer.model.edits) == 0


def test_edits_that_are_not_held_out_have_figures_of_their_own(measurer):
    measured = measurer.measure(cell("as_knowledge", 60))

    assert measured["num_edits"] == 60
    assert measured["asked"]["efficacy"] == measured["others"]["asked"]["efficacy"] == 8


def test_an_arm_that_trains_does_so_for_its_steps_and_changes_unrelated_logits(measurer):
    measured = measurer.measure(cell("full", 10, steps=2))

    assert measured["seconds"] > 0
    assert measured["bit_identical"] < 1


def test_small_sets_are_measured_one_after_the_other(measurer):
    measured = measurer.measure(cell("as_knowledge", 1))

    assert (measured["num_sets"], measured["num_edits"]) == (8, 1)
    assert measured["asked"]["efficacy"] == 8


def test_the_unedited_cell_says_what_the_reader_knows(measurer):
    measured = measurer.measure(cell("unedited", 10))

    assert set(measured["recall"]) > {"facts", "neighbours"}
    assert measured["bit_identical"] == 1.0


def test_after_rollback_every_prompt_is_bit_identical(measurer):
    measured = measurer.measure(cell("as_knowledge", 10, "rolled_back"))

    assert measured["bit_identical"] == 1.0
    assert measured["num_prompts"] == 24


def test_removed_edits_answer_as_unedited_and_the_others_as_before(measurer):
    whole = measurer.measure(cell("as_knowledge", 10))
    measured = measurer.measure(cell("as_knowledge", 10, "half_removed"))

    assert measured["num_removed"] == 5
    assert measured["removed_as_unedited"] == 1.0
    asked = [measured[part]["asked"]["efficacy"] for part in ("kept", "removed")]
    assert sum(asked) == whole["asked"]["efficacy"]


def test_saved_and_loaded_edits_give_the_same_replies(measurer):
    assert measurer.measure(cell("as_knowledge", 10, "loaded"))["as_before"] == 1.0


def test_calls_are_timed_with_and_without_edits(measurer):
    measured = measurer.measure(cell("as_knowledge", 10, "calls"))

    assert set(measured["calls"]) == {"reader"}
    assert all(costs["ratio"] > 0 for costs in measured["calls"]["reader"].values())


@pytest.mark.parametrize("is_lora", [False, True])
def test_fine_tuning_learns_its_edits_and_leaves_the_reader_as_it_was(folder, measurer, is_lora):
    edits = measurer.sets.edits[:3]
    questions = [q for q in measurer.questions.about(edits) if q.kind == "efficacy"]
    before = {name: weight.clone() for name, weight in measurer.model.base.state_dict().items()}
    accelerator = default_accelerator(cpu=True)
    arm = Tuned(folder, measurer.model, accelerator, is_lora, learning_rate=2e-2, most_steps=30)
    with Unedited(measurer.model).edited(()) as unedited:
        without = ask(unedited, questions)
    with arm.edited(edits) as edited:
        trained = ask(edited, questions)

    assert all(t.wanted > w.wanted + 1 for t, w in zip(trained, without, strict=True))
    after = measurer.model.base.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_every_cell_is_asked_for_once_and_what_comes_after_for_way_2_alone():
    cells = table_cells(ARMS, [1, 10, 1000, 10_000])

    assert len(set(cells)) == len(cells)
    assert {c.condition for c in cells if c.arm == "as_knowledge"} == set(CONDITIONS)
    assert {c.condition for c in cells if c.arm != "as_knowledge"} == {"added"}
    assert [c.count for c in cells if c.arm == "unedited"] == [1000]
    with pytest.raises(ValueError, match="arm must be one of"):
        CellOfEdits("other", 1)


def test_a_table_that_was_stopped_goes_on_where_it_was(measurer, tmp_path, monkeypatch):
    cells = [cell("unedited", 10), cell("as_knowledge", 10), cell("as_knowledge", 1)]
    measured = []
    measure = measurer.measure

    def counting(one, tell):
        if len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(one)
        return measure(one)

    monkeypatch.setattr(measurer, "measure", counting)
    with pytest.raises(KeyboardInterrupt):
        measure_table(measurer, cells, tmp_path / "table.json")
    there = json.loads((tmp_path / "table.json").read_text())
    monkeypatch.setattr(measurer, "measure", lambda one, tell: measure(one))
    report = measure_table(measurer, cells, tmp_path / "table.json")

    assert report["cells"][:2] == there["cells"]
    assert [one["setting"] for one in report["cells"]] == [one.to_dict() for one in cells]


def test_goals_compare_with_the_unedited_reader_and_between_numbers_of_edits():
    def made(arm, count, share):
        shares = dict.fromkeys(("efficacy", "paraphrase", "neighbourhood"), share)
        setting = {"arm": arm, "count": count, "condition": "added"}
        return {"setting": setting, "success": shares, "accuracy": shares, "bit_identical": 1.0}

    met = check_goals([made("unedited", 1000, 1.0), made("as_knowledge", 1000, 1.0)])
    missed = check_goals([made("as_knowledge", 1000, 0.9), made("as_knowledge", 10_000, 0.8)])

    assert len(met) == 7
    assert all(goal["is_met"] for goal in met)
    assert not [g for g in missed if g["is_met"] and "paraphrase, accuracy" not in g["goal"]][1:]


def test_an_edit_speaks_for_its_own_prompt_and_not_for_unrelated_ones(sets):
    report = measure_matching(sets, WordEmbedder(), [10, 30], num_asked=10)

    for counts in report.values():
        assert [shares["own prompt"] for shares in counts.values()] == [1.0, 1.0]
        assert [shares["unrelated"] for shares in counts.values()] == [0.0, 0.0]


def test_the_command_measures_prints_and_draws(folder, tmp_path, monkeypatch, capsys):
    data = written(FACTS, tmp_path)
    monkeypatch.setattr(command, "SentenceTransformerEmbedder", WordEmbedder)
    arms, out = ["unedited", "as_knowledge"], tmp_path / "table.json"
    options = {"writing_steps": 2, "tuning_steps": 2, "shape": None, "seed": 0, "progress": False}

    command.table(data, folder, out, arms, [1, 3], asked=3, unrelated=3, quick=True, **options)
    command.matching(data, tmp_path / "m.json", [10], asked=5, unrelated=3, seed=0)

    printed = capsys.readouterr().out
    assert "held-out edits" in printed.lower()
    assert "another relation of its subject" in printed
    assert len(json.loads(out.read_text())["cells"]) == 7
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert set(json.loads((tmp_path / "m.json").read_text())) == {"matching", "machine"}
    assert template_of(EDIT) in TEMPLATES

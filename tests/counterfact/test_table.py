"""Cells of the table of edits: arms, what comes after adding, resuming, the command."""

from __future__ import annotations

import json

import pytest
import torch

from diekae_rag.counterfact import __main__ as command
from diekae_rag.counterfact.facts import fact_text, template_of
from diekae_rag.counterfact.table.arms import AsKnowledge, InContext, Unedited
from diekae_rag.counterfact.table.asking import ask, forced_texts
from diekae_rag.counterfact.table.calls import PROMPTS
from diekae_rag.counterfact.table.measuring import Measurer
from diekae_rag.counterfact.table.questions import Questions
from diekae_rag.counterfact.table.report import measure_table
from diekae_rag.counterfact.table.setting import ARMS, CONDITIONS, CellOfEdits, table_cells
from diekae_rag.counterfact.table.tuned import Tuned
from diekae_rag.training.loop import default_accelerator
from tests.conftest import build_base, build_encoders
from tests.counterfact.conftest import EDIT, LONE_FACTS, TEMPLATES, WordEmbedder, written

WRITTEN_AFTER = {"half_removed", "loaded", "rolled_back"}


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
    return Measurer(LONE_FACTS, folder, WordEmbedder(), num_unrelated=6, rounds=2)


def cell(arm, count, condition="added", **choices):
    """A cell that asks little."""
    return CellOfEdits(arm, count, condition, num_asked=8, num_unrelated=6, **choices)


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


@pytest.mark.parametrize("arm", ["full", "lora", "in_weights"])
def test_an_arm_that_trains_takes_time_and_changes_unrelated_logits(measurer, arm):
    measured = measurer.measure(cell(arm, 10, steps=3))

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


def test_edits_added_one_by_one_give_the_same_replies(measurer):
    measured = measurer.measure(cell("as_knowledge", 10, "one_by_one"))

    assert measured["as_before"] == 1.0
    assert measured["seconds_each"] > 0
    assert len(measurer.model.edits) == 0


def test_edits_in_weights_are_written_once_for_all_that_comes_after(measurer, monkeypatch):
    trained = []
    write = measurer.model.write_edits
    monkeypatch.setattr(
        measurer.model, "write_edits", lambda **options: trained.append(1) or write(**options)
    )
    loaded, halved, back = (
        measurer.measure(cell("in_weights", 10, condition, steps=3))
        for condition in ("loaded", "half_removed", "rolled_back")
    )
    measurer.measure(cell("in_weights", 9, "loaded", steps=3))

    assert len(trained) == 2
    assert loaded["as_before"] == 1.0
    assert halved["removed_as_unedited"] == 1.0
    assert back["bit_identical"] == 1.0


def test_calls_are_timed_with_and_without_edits(measurer):
    measured = measurer.measure(cell("as_knowledge", 10, "calls", shape="tiny"))

    assert set(measured["calls"]) == set(PROMPTS)
    assert all(costs["ratio"] > 0 for costs in measured["calls"].values())


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


def test_every_cell_is_asked_for_once_and_what_comes_after_for_both_ways_alone():
    cells = table_cells(ARMS, [1, 10, 1000, 10_000])

    assert len(set(cells)) == len(cells)
    assert {c.condition for c in cells if c.arm == "as_knowledge"} == set(CONDITIONS)
    assert {c.condition for c in cells if c.arm == "in_weights"} == {"added", *WRITTEN_AFTER}
    others = [c for c in cells if c.arm not in ("as_knowledge", "in_weights")]
    assert {c.condition for c in others} == {"added"}
    assert {c.count for c in cells if c.condition in WRITTEN_AFTER} == {1000}
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


def test_the_command_measures_prints_and_draws(folder, tmp_path, monkeypatch, capsys):
    data = written(LONE_FACTS, tmp_path)
    monkeypatch.setattr(command, "SentenceTransformerEmbedder", WordEmbedder)
    arms, out = ["unedited", "as_knowledge"], tmp_path / "table.json"
    options = {"writing_steps": 2, "tuning_steps": 2, "shape": None, "seed": 0, "progress": False}

    command.table(data, folder, out, arms, [1, 3], asked=3, unrelated=3, quick=True, **options)
    real = tmp_path / "real.jsonl"
    real.write_text(json.dumps({"question": "Who is that?", "answer": "Ada"}) + "\n")
    command.matching(
        data, tmp_path / "m.json", [10], asked=5, unrelated=3, questions=[real], seed=0
    )

    printed = capsys.readouterr().out
    assert "held-out edits" in printed.lower()
    assert "another relation of its subject" in printed
    assert "real question" in printed
    assert len(json.loads(out.read_text())["cells"]) == 8
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert set(json.loads((tmp_path / "m.json").read_text())) == {"matching", "machine"}
    assert template_of(EDIT) in TEMPLATES

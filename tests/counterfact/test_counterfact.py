"""What measuring edits stands on: known facts, stated edits, and what training never sees."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
from transformers import AutoTokenizer

from diekae_rag.counterfact.__main__ import prepare
from diekae_rag.counterfact.facts import read_facts, template_of
from diekae_rag.counterfact.mixture import Mixture
from diekae_rag.counterfact.packing import Rows
from diekae_rag.counterfact.reader import READER_CONFIG, load_fact_tokenizer
from diekae_rag.counterfact.recall import Recall, right_answers
from diekae_rag.model import DiekaeModel
from diekae_rag.training.base import BaseParts
from diekae_rag.training.batches import ANSWER, Episode
from tests.conftest import build_base
from tests.counterfact.conftest import FACTS, HELD_OUT


@pytest.fixture
def rows(facts, tmp_path):
    """Batches of rows with no edit, one and three."""
    tokenizer = load_fact_tokenizer(facts, tmp_path / "out", vocab_size=400)
    return Rows(facts, tokenizer, READER_CONFIG, (0, 1, 3), length=160)


def drawn(rows):
    """The rows of many batches."""
    return [row for number in range(60) for row in rows.mixture.rows(number, rows.num_stated)]


def test_both_forms_of_the_set_are_read_alike(facts, tmp_path):
    items = [
        {
            "requested_rewrite": {
                "prompt": template_of(edit),
                "subject": edit.subject,
                "target_true": {"str": edit.target_true},
                "target_new": {"str": edit.target_new},
            },
            "paraphrase_prompts": edit.paraphrase_prompts,
            "neighborhood_prompts": edit.neighborhood_prompts,
        }
        for edit in FACTS
    ]
    path = tmp_path / "counterfact.json"
    path.write_text(json.dumps(items))

    assert read_facts(path) == facts


def test_what_is_known_holds_every_fact_and_neighbour_and_no_paraphrase(facts):
    known = facts.known()

    assert {edit.prompt for edit in FACTS} < set(known)
    assert {text for edit in FACTS for text in edit.neighborhood_prompts} < set(known)
    assert not {text for edit in FACTS for text in edit.paraphrase_prompts} & set(known)


def test_no_passage_is_about_a_held_out_subject(facts, rows):
    subjects = {edit.subject for edit in facts.valid}
    passages = [passage for row in drawn(rows) for passage in row.passages]

    assert passages
    assert not [p for p in passages if any(subject in p for subject in subjects)]
    assert len(facts.editable()) == HELD_OUT - 6


def test_held_out_paraphrases_never_occur_in_what_is_trained_on(facts, rows):
    paraphrases = {text for edit in facts.valid for text in edit.paraphrase_prompts}
    asked = {prompt for row in drawn(rows) for prompt, _ in row.questions}

    assert not paraphrases & asked
    assert {edit.paraphrase_prompts[0] for edit in facts.editable()} <= asked


def test_a_row_answers_from_its_passages_what_they_edit_and_the_rest_from_memory(facts, rows):
    known = facts.known()
    for row in drawn(rows):
        told = [passage.removesuffix(".").rsplit(" ", 1) for passage in row.passages]
        edited = {prompt.split("Ada")[1][:3]: target for prompt, target in told}
        assert len(edited) == len(row.passages)
        for prompt, answer in row.questions:
            subject = prompt.split("Ada")[1][:3] if "Ada" in prompt else ""
            assert answer == (edited[subject] if subject in edited else known[prompt])


def test_an_edit_never_states_what_is_true(facts, rows):
    known = facts.known()
    passages = [passage.removesuffix(".") for row in drawn(rows) for passage in row.passages]

    assert all(known[text.rsplit(" ", 1)[0]] != text.rsplit(" ", 1)[1] for text in passages)


def test_a_batch_by_number_is_reproducible_and_of_one_shape(rows):
    again, other = rows.stuffed(3), rows.stuffed(4)

    assert torch.equal(rows.stuffed(3).input_ids, again.input_ids)
    assert not torch.equal(other.input_ids, again.input_ids)
    assert again.input_ids.shape == other.input_ids.shape == (3, 160)
    assert (again.roles != 0).float().mean() > 0.7
    batch = rows.draw(needs_stuffed=True)(3)
    assert batch.injected.passage_ids.shape[0] == 4
    assert int((batch.injected.questions.roles == ANSWER).sum()) == int(
        (batch.for_teacher.roles == ANSWER).sum()
    )


def test_packed_questions_do_not_see_each_other(facts, rows):
    batch = rows.stuffed(0)
    row = int((batch.roles == ANSWER).sum(1).argmax())
    positions, mask = batch.position_ids[row], batch.attention_mask[row, 0]
    starts = [t for t in range(1, 160) if positions[t] <= positions[t - 1] and batch.roles[row, t]]

    assert len(starts) > 2
    for before, after in pairwise(starts):
        assert not mask[after:, before:after].any()


def test_an_answer_is_right_only_if_each_of_its_tokens_is(facts, rows, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    parts = BaseParts(build_base(len(tokenizer)))
    question = ("The home of Ada01x is", "Turin")
    batch = rows._before([Episode([], [question]), Episode([], [question, question])])

    right = right_answers(parts, batch)

    assert right.shape == (3,)
    logits = parts.logits(parts.read(batch))[:, :-1]
    truths = (logits.argmax(-1) == batch.input_ids[:, 1:]) | (batch.roles[:, 1:] != ANSWER)
    assert right[0] == truths[0].all()


def test_recall_has_a_share_for_each_group(facts, rows, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    recall = Recall(facts, tokenizer, num_facts=5, num_edits=3)

    shares = recall.measure(build_base(len(tokenizer)))
    recall.note(shares, tmp_path / "known.jsonl")

    assert set(shares) == {"facts", "neighbours", "edits", "paraphrases", "beside"}
    assert json.loads((tmp_path / "known.jsonl").read_text())["facts"] == shares["facts"]


def test_one_go_trains_a_reader_and_encoders_that_answer(data, tmp_path):
    out = tmp_path / "run"

    prepare(data, out, steps=1, scale=0.001, compiled=False, progress=False)
    prepare(data, out, steps=1, scale=0.001, compiled=False, progress=False)

    model = DiekaeModel.from_pretrained(out / "encoders")
    assert model.score("The home of Ada01x is", "Turin") < 0


def test_a_mixture_with_other_seeds_draws_other_rows(facts):
    mixtures = [Mixture(facts, lambda row: len(row.questions) < 9, seed=seed) for seed in (0, 1)]

    assert mixtures[0].rows(0, (1,)) != mixtures[1].rows(0, (1,))

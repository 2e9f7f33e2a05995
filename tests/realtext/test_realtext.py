"""What measuring on real text stands on: sets as records, recall, a reader with other tokens."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from diekae_rag.config import DiekaeConfig
from diekae_rag.data.records import Record, read_records
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.evaluation import evaluate_records, load_arms
from diekae_rag.locations import demo_folder
from diekae_rag.realtext.__main__ import prepare
from diekae_rag.realtext.mixture import Mixture, recall_question, write_mixture
from diekae_rag.realtext.sets import MEASURED, read_sets
from diekae_rag.realtext.vocabulary import adapted_reader, train_text_tokenizer
from diekae_rag.training.examples import Examples
from diekae_rag.training.plan import read_plan
from diekae_rag.training.run import run_plan

QA = {"query": "who?", "answer": "Ada", "answers": ["Ada", "Ada L."], "knowledge": ["Ada did it."]}
TALK = {**QA, "query": "[USR] Hi [SYS] Ho [USR] Who? [SYS]"}
LOGIC = {"premises": ["A is b. ", "B is c."], "hypothesis": "A is c.", "label": "True"}
FILES = {
    "qamr/dev": [{**QA, "sentence_id": f"s{n:02}"} for n in range(20)],
    "nq_short/train": [QA, {**QA, "answer": "x" * 500}],
    "nq_short/val": [{**QA, "query": "asked?"}],
    "squad_v1/train": [QA],
    "squad_v1/val": [{**QA, "knowledge": ["Far too long. " * 300]}],
    "wow/valid": [TALK],
    "wow/test": [{**TALK, "query": "[SYS]"}],
    "cmu_dog/train": [TALK],
    "cmu_dog/val": [TALK],
    "dream/train": [{**QA, "diekae": True, "knowledge": ["M: Hi.", "W: Ho."]}],
    "dream/val": [{**QA, "diekae": False}],
    "folio/train": [LOGIC],
    "folio/val": [LOGIC],
    "proofwriter/train": [LOGIC],
    "proofwriter/val": [LOGIC],
    "nq_swap/train": [QA, {**QA, "query": "asked?"}],
}


@pytest.fixture
def data(tmp_path):
    """Small files of the form that the real sets have."""
    for name, rows in FILES.items():
        path = tmp_path / f"{name}.jsonl.gz"
        path.parent.mkdir(exist_ok=True)
        with gzip.open(path, "wt") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def sets(data):
    """These, read."""
    return read_sets(data)


def test_a_sentence_is_either_trained_on_or_measured_on(sets):
    assert (len(sets["qamr"].train), len(sets["qamr"].valid)) == (18, 2)


def test_a_question_that_is_measured_on_is_in_no_training_set(sets):
    assert [record.prompt for record in sets["nq_swap"].train] == ["who?"]


def test_what_is_too_long_is_left_out_and_counted(sets):
    assert (len(sets["nq_short"].train), sets["nq_short"].left_out) == (1, 1)
    assert (len(sets["squad_v1"].valid), sets["squad_v1"].left_out) == (0, 1)


def test_a_dialogue_is_worded_without_its_outer_turns(sets):
    assert sets["wow"].train[0].prompt == "Hi [SYS] Ho [USR] Who?"
    assert sets["wow"].valid[0].prompt == "Hello"


def test_a_talk_and_premises_are_one_passage(sets):
    assert sets["dream"].train[0].passages == ("M: Hi.\nW: Ho.",)
    assert sets["folio"].train[0] == Record(
        "A is c. True, False or Unknown?", "True", ("A is b. B is c.",), ("True",)
    )
    assert sets["dream"].valid == []


def test_a_folder_without_the_sets_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nq_short"):
        read_sets(tmp_path)


def test_every_measured_set_is_read(sets):
    assert set(MEASURED) <= set(sets)


@given(st.lists(st.text("abcdé", min_size=1), max_size=30), st.integers())
def test_recall_asks_for_words_that_follow_in_the_text(words, seed):
    text = " ".join(words)
    question = recall_question(text, random.Random(seed))

    if question is None:
        assert len(words) < 10
    else:
        asked, told = question
        assert f"{asked.removeprefix('Go on: ')} {told}" in text


@pytest.fixture(scope="module")
def text_tokenizer():
    """A tokenizer trained on a few words."""
    words = "Ada lives in Turin and works as a clock maker by the river Trauva"
    return train_text_tokenizer([Record(words, words, (words * 3,))], vocab_size=400)


def test_a_reader_with_other_tokens_has_the_same_layers_and_its_tokens_mean_their_parts(
    text_tokenizer,
):
    original = AutoModelForCausalLM.from_pretrained(demo_folder() / "reader")
    known = AutoTokenizer.from_pretrained(demo_folder() / "reader")
    reader = adapted_reader(text_tokenizer)

    assert reader.config.vocab_size == len(text_tokenizer)
    layer = "layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(
        reader.model.get_parameter(layer), original.model.get_parameter(layer)
    )
    old, new = original.get_input_embeddings().weight, reader.get_input_embeddings().weight
    ends = [t.convert_tokens_to_ids("</s>") for t in (known, text_tokenizer)]
    torch.testing.assert_close(new[ends[1]], old[ends[0]])
    letters = [t.convert_tokens_to_ids("w") for t in (known, text_tokenizer)]
    cosine = torch.nn.functional.cosine_similarity(new[letters[1]], old[letters[0]], dim=0)
    assert cosine > 0.999


def test_a_mixture_written_down_holds_what_its_batches_hold(text_tokenizer, tmp_path):
    records = [
        Record(f"Who is {n}?", "Ada", (f"{n} is Ada of the river Trauva by the sea of Oltun",))
        for n in range(6)
    ]
    config = DiekaeConfig(wording=DEMO_WORDING.to_dict())
    examples = Examples(records, text_tokenizer, config, window=1024, batch_size=3)
    mixture = Mixture(examples, worlds_every=3)

    count = write_mixture(mixture, 3, tmp_path / "train.jsonl")

    written = read_records(tmp_path / "train.jsonl")
    drawn = [q for n in range(3) for episode in mixture.episodes(n) for q in episode.questions]
    assert [(record.prompt, record.answer) for record in written] == drawn
    assert len(drawn) == count
    assert sum(prompt.startswith("Go on: ") for prompt, _ in drawn) > 6
    assert {f"Who is {n}?" for n in range(6)} <= {prompt for prompt, _ in drawn}


def test_one_go_leaves_all_that_training_and_measuring_read(data, tmp_path):
    out = tmp_path / "out"

    prepare(data, out, steps=1, batches=1)

    plan = read_plan(out / "plan.toml")
    assert [stage.name for stage in plan.stages] == [
        "warmup", "distill", "finetune", "lora", "full",
    ]  # fmt: skip
    stage = replace(plan.stages[2], num_steps=1)
    run_plan(replace(plan, stages=(stage,), batch_size=2), out / "run", show_progress=False)
    (arm,) = load_arms(str(out / "run" / "encoders"), ["inject"])
    for name in ("nq_short", "folio"):
        records = read_records(out / "valid" / f"{name}.jsonl")
        options = {"num_timed": 0, "max_new_tokens": 2, "show_progress": False}
        report = evaluate_records([arm], records, seed=0, **options)
        assert report["arms"]["inject"]["loss"] > 0
    assert read_records(out / "head" / "folio.jsonl")

"""A plan: what is chosen, and what cannot be."""

from __future__ import annotations

import json

import pytest

from diekae_rag.training.plan import StagePlan, TrainingPlan, read_plan

PLAN = {"base": "owner/model", "data": ["train.jsonl"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": ["warmdown"]}, "no stage 'warmdown'"),
        ({"stages": [{"name": "warmup", "lr": 1}]}, "no 'lr'"),
        ({"stages": [{"epochs": 1}]}, "needs a name"),
        ({"stages": ["warmup", "warmup"]}, "named once"),
        ({"stages": []}, "at least one"),
        ({"stages": [{"name": "warmup", "epochs": 0}]}, "epochs"),
        ({"stages": [{"name": "distill", "is_on_policy": True}]}, "differences"),
        ({"data": []}, "needs 'data'"),
        ({"base": ""}, "needs 'base'"),
        ({"bacth_size": 3}, "no 'bacth_size'"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"precision": "fp8"}, "precision"),
        ({"quantization": "2bit"}, "quantization"),
        ({"optimizer": "sgd"}, "optimizer"),
        ({"preset": "mine"}, "preset"),
        ({"patience": 3}, "patience needs valid"),
    ],
    ids=str,
)
def test_what_cannot_be_honoured_is_an_error(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingPlan.from_dict({**PLAN, **change})


def test_a_plan_is_read_from_toml_as_from_json(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'base = "owner/model"\ndata = "train.jsonl"\nvalid = ["valid.jsonl"]\nbatch_size = 3\n'
        '[encoders]\nhidden_size = 64\n[[stages]]\nname = "warmup"\nnum_steps = 7\n'
        '[[stages]]\nname = "differences"\nis_on_policy = true\n'
    )

    plan = read_plan(path)

    assert plan.stages == (
        StagePlan("warmup", num_steps=7),
        StagePlan("differences", is_on_policy=True),
    )
    assert plan.encoders == {"hidden_size": 64}
    assert TrainingPlan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    ("name", "text"),
    [("plan.toml", "base = "), ("plan.json", "garbage"), ("plan.json", "[1]"), ("plan.json", "3")],
)
def test_what_is_no_plan_is_an_error_that_names_the_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(ValueError, match=rf"{name} is no plan"):
        read_plan(path)


def test_a_plan_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no plan"):
        read_plan(tmp_path / "plan.toml")


@pytest.mark.parametrize(
    ("stage", "batches", "accumulate", "world", "steps"),
    [
        (StagePlan("warmup", epochs=2), 10, 1, 1, 20),
        (StagePlan("warmup", epochs=2), 10, 4, 1, 5),
        (StagePlan("warmup"), 10, 2, 2, 3),
        (StagePlan("warmup", num_steps=7), 10, 4, 2, 7),
    ],
)
def test_an_epoch_sees_every_record_once_over_all_processes_and_accumulated_batches(
    stage, batches, accumulate, world, steps
):
    plan = TrainingPlan.from_dict({**PLAN, "gradient_accumulation_steps": accumulate})

    assert stage.schedule(batches, plan, world).num_steps == steps

"""A whole run: stopped anywhere it ends the same, and its folder says what it was."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from diekae_rag import DiekaeModel
from diekae_rag.data.records import RecordError
from diekae_rag.training.plan import TrainingPlan
from diekae_rag.training.run import run_plan

ENCODERS = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_passage_tokens": 64,
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """Files of records to train on and to choose by."""
    for name, count in (("train", 12), ("valid", 3)):
        rows = [
            {"prompt": f"Who is {n}?", "answer": f"Ada {n}", "passages": [f"{n} is Ada {n}."]}
            for n in range(count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def plan(data, base_folder):
    """Builds a plan of two steps a stage."""

    def build(*stages, num_steps=2, **options):
        return TrainingPlan.from_dict(
            {
                "base": str(base_folder),
                "data": [str(data / "train.jsonl")],
                "stages": [
                    s if isinstance(s, dict) else {"name": s, "num_steps": num_steps}
                    for s in stages
                ],
                "encoders": ENCODERS,
                "batch_size": 4,
                "precision": "no",
                "checkpoint_every": 1,
                **options,
            }
        )

    return build


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_run_leaves_encoders_that_answer_and_says_what_it_was(plan, data, tmp_path):
    folder = tmp_path / "run"
    chosen = plan(
        "warmup", "distill", "differences", "finetune", "lora", "full",
        valid=[str(data / "valid.jsonl")], evaluate_every=1,
    )  # fmt: skip

    seconds = run_plan(chosen, folder, show_progress=False)

    model = DiekaeModel.from_pretrained(folder / "encoders")
    answer = model.generate("Who is 3?", ["3 is Ada 3."], max_new_tokens=2)
    assert answer.usage.knowledge_tokens_kept_out > 0
    assert list(seconds) == ["warmup", "distill", "differences", "finetune", "lora", "full"]
    assert TrainingPlan.from_dict(json.loads((folder / "plan.json").read_text())) == chosen
    described = json.loads((folder / "data.json").read_text())["train"][0]
    train = (data / "train.jsonl").read_bytes()
    assert described["sha256"] == hashlib.sha256(train).hexdigest()
    assert described["records"] == 12
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    card = (folder / "encoders" / "README.md").read_text()
    assert "base_model: " in card
    assert described["sha256"][:16] in card
    for stage in seconds:
        cost = json.loads((folder / stage / "cost.json").read_text())
        assert cost["peak_memory_bytes"] > 0
        assert cost["trainable_weights"] > 0


def test_baselines_change_the_base_model_and_encoders_do_not(plan, base_folder, base, tmp_path):
    before = {name: p.clone() for name, p in base.state_dict().items()}

    run_plan(plan("finetune", "lora", "full"), tmp_path / "run", show_progress=False)

    assert same(weights(base_folder), {k: v for k, v in before.items() if k != "lm_head.weight"}
                | ({"lm_head.weight": before["lm_head.weight"]}
                   if "lm_head.weight" in weights(base_folder) else {}))  # fmt: skip
    full = weights(tmp_path / "run/full/model")
    assert not same(full, weights(base_folder))
    adapters = load_file(tmp_path / "run/lora/model/adapter_model.safetensors")
    assert any(t.abs().sum() > 0 for name, t in adapters.items() if "lora_B" in name)


def test_lora_has_about_as_many_weights_as_the_encoders(plan, tmp_path):
    run_plan(plan("finetune", "lora"), tmp_path / "run", show_progress=False)

    costs = [
        json.loads((tmp_path / f"run/{s}/cost.json").read_text()) for s in ("finetune", "lora")
    ]
    encoders, lora = (cost["trainable_weights"] for cost in costs)
    rank_step = 4 * 2 * (32 + 32)
    assert abs(encoders - lora) <= rank_step / 2


@pytest.mark.parametrize("stages", [["warmup", "distill"], ["differences"]], ids=" ".join)
def test_with_dumped_targets_the_base_model_is_not_loaded_again(
    plan, base_folder, tmp_path, stages
):
    targets = str(tmp_path / "targets")
    run_plan(plan(*stages, targets=targets), tmp_path / "first", show_progress=False)
    (base_folder / "model.safetensors").unlink()

    run_plan(plan(*stages, targets=targets), tmp_path / "second", show_progress=False)

    first, second = (weights(tmp_path / name / "encoders") for name in ("first", "second"))
    assert same(first, second)


def test_a_run_of_another_plan_is_refused_and_left_alone(plan, tmp_path):
    run_plan(plan("warmup"), tmp_path / "run", show_progress=False)
    before = weights(tmp_path / "run/encoders")

    for other in (plan("warmup", seed=3), plan("distill"), plan("warmup", num_steps=3)):
        with pytest.raises(ValueError, match="begun with"):
            run_plan(other, tmp_path / "run", show_progress=False)

    assert same(before, weights(tmp_path / "run/encoders"))


def test_a_stage_added_at_the_end_goes_on_from_what_is_there(plan, tmp_path):
    run_plan(plan("warmup"), tmp_path / "parts", show_progress=False)
    run_plan(plan("warmup", "finetune"), tmp_path / "parts", show_progress=False)
    run_plan(plan("warmup", "finetune"), tmp_path / "whole", show_progress=False)

    parts, whole = (weights(tmp_path / name / "encoders") for name in ("parts", "whole"))
    assert same(parts, whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoders": {"layers": [2, 9]}}, "0..3"),
        ({"encoders": {"sides": "both"}}, "unknown config field"),
        ({"encoders": {**ENCODERS, "layers": [0, 1]}}, "last decoder layer"),
    ],
    ids=["layers", "field", "distill"],
)
def test_encoders_that_do_not_fit_are_an_error_before_any_training(
    plan, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        run_plan(plan("warmup", "distill", **options), tmp_path / "run", show_progress=False)

    assert not (tmp_path / "run/warmup").exists()


def test_a_malformed_record_is_named_and_nothing_is_written(plan, data, tmp_path):
    with (data / "train.jsonl").open("a") as file:
        file.write('{"prompt": "Who?"}\n')

    with pytest.raises(RecordError, match=r"train\.jsonl, line 13.*answer"):
        run_plan(plan("warmup"), tmp_path / "run", show_progress=False)

    assert not (tmp_path / "run").exists()


def test_records_without_passages_are_counted_and_refused_where_there_are_no_others(
    plan, data, tmp_path
):
    row = json.dumps({"prompt": "Who?", "answer": "Ada", "passages": []})
    with (data / "train.jsonl").open("a") as file:
        file.write(row + "\n")
    with pytest.warns(UserWarning, match="1 of 13 records have no passages"):
        run_plan(plan("warmup"), tmp_path / "run", show_progress=False)

    (data / "train.jsonl").write_text(row + "\n")
    with pytest.raises(RecordError, match="none of the 1 records"):
        run_plan(plan("warmup"), tmp_path / "other", show_progress=False)

    assert not (tmp_path / "other").exists()


def test_a_base_model_that_is_not_there_is_an_error(plan, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder \./nowhere"):
        run_plan(replace(plan("warmup"), base="./nowhere"), tmp_path / "run")


def command(plan, tmp_path, folder):
    """The command line of a run."""
    lines = [f'base = "{plan.base}"', f"data = {json.dumps(list(plan.data))}", 'precision = "no"']
    lines += [f'optimizer = "{plan.optimizer}"', "batch_size = 2", "checkpoint_every = 1"]
    lines += ["[encoders]"]
    lines += [f"{name} = {value}" for name, value in ENCODERS.items()]
    for stage in plan.stages:
        lines += ["[[stages]]", f'name = "{stage.name}"', f"num_steps = {stage.num_steps}"]
    (tmp_path / "plan.toml").write_text("\n".join(lines))
    return ["-m", "diekae_rag", "train", str(folder), "--plan", str(tmp_path / "plan.toml")]


def environment():
    return {**os.environ, "TOKENIZERS_PARALLELISM": "false"}


def test_a_run_that_was_killed_and_resumed_equals_one_that_was_not(plan, tmp_path):
    chosen = plan("warmup", "distill", "finetune", num_steps=6)
    arguments = command(chosen, tmp_path, tmp_path / "killed")
    running = subprocess.Popen(
        [sys.executable, *arguments], env=environment(), stderr=subprocess.DEVNULL
    )
    reached = tmp_path / "killed/distill/checkpoints/step-00000002"
    until = time.monotonic() + 120
    while not reached.exists() and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed/encoders").exists()

    subprocess.run([sys.executable, "-m", "diekae_rag", "train", str(tmp_path / "killed")],
                   env=environment(), check=True, capture_output=True)  # fmt: skip
    whole = TrainingPlan.from_dict(json.loads((tmp_path / "killed/plan.json").read_text()))
    threads = torch.get_num_threads()
    run_plan(whole, tmp_path / "whole", show_progress=False)

    assert threads == 1
    assert same(weights(tmp_path / "killed/encoders"), weights(tmp_path / "whole/encoders"))


def launch(kind, plan, tmp_path):
    """Runs a plan on two processes, and on one that accumulates the batches of both."""
    launcher = ["-m", "accelerate.commands.launch", *kind, "--num_processes", "2",
                "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
                "--main_process_port", "0"]  # fmt: skip
    subprocess.run(
        [sys.executable, *launcher, *command(plan, tmp_path, tmp_path / "two")],
        env=environment(), check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    two = TrainingPlan.from_dict(json.loads((tmp_path / "two/plan.json").read_text()))
    values = {**two.to_dict(), "gradient_accumulation_steps": 2}
    run_plan(TrainingPlan.from_dict(values), tmp_path / "one", show_progress=False)


def test_two_processes_make_the_steps_of_one_with_accumulated_batches(plan, tmp_path):
    # Without a GPU, what --multi_gpu starts are processes on the CPU.
    launch(["--multi_gpu"], plan("warmup", num_steps=3), tmp_path)

    one, other = (weights(tmp_path / name / "encoders") for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], atol=1e-4, rtol=1e-3)


def test_two_processes_that_shard_make_these_steps_too_and_leave_whole_models(plan, tmp_path):
    chosen = plan("warmup", "finetune", "lora", "full", num_steps=2, optimizer="adamw")

    launch(["--use_fsdp", "--fsdp_version", "2"], chosen, tmp_path)

    for folder, file in (
        ("encoders", "model"),
        ("lora/model", "adapter_model"),
        ("full/model", "model"),
    ):
        one, two = (
            load_file(tmp_path / n / folder / f"{file}.safetensors") for n in ("one", "two")
        )
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-3)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "two/full/model")
    assert all(p.isfinite().all() for p in model.parameters())

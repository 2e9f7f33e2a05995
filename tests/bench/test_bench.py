"""The benchmark of training: what its arms share, and what its report adds up."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from diekae_rag.bench.arms import ARMS
from diekae_rag.bench.memory import step_bytes
from diekae_rag.bench.report import ARM_NAMES, EPOCHS, benchmark, summarise
from diekae_rag.bench.setting import SHAPES, Setting, scaled_layers
from diekae_rag.bench.worker import measure
from diekae_rag.bench.workload import build_encoders, build_workload
from diekae_rag.cli import app
from diekae_rag.training.baselines import lora_rank, num_trainable
from diekae_rag.training.batches import ANSWER, PackedBatch

SETTING = Setting(
    "tiny", knowledge_tokens=9, prompt_tokens=4, answer_tokens=3, batch_size=2, steps=1,
    dtype="float32", device="cpu",
)  # fmt: skip


def arm(name, setting=SETTING):
    return ARMS[name](build_workload(setting))


def questions(batch):
    return batch if isinstance(batch, PackedBatch) else batch.injected.questions


@pytest.mark.parametrize("name", [n for n in ARM_NAMES if "dumped" not in n])
def test_every_arm_reads_the_same_prompts_and_answers(name):
    batch = questions(arm(name).draw())

    read = questions(arm("LoRA").draw())
    answers = batch.input_ids[batch.roles == ANSWER]
    assert torch.equal(answers, read.input_ids[read.roles == ANSWER])
    assert len(answers) == 2 * 3
    assert int((batch.roles == 2).sum()) == 2 * 4


def test_the_knowledge_is_as_long_as_it_says():
    assert int((questions(arm("full").draw()).roles == 1).sum()) == 2 * 9
    assert int(arm("fine-tune").draw().injected.passage_mask.sum()) == 2 * 9


@pytest.mark.parametrize(
    ("name", "part"),
    [("distill (differences)", "encoders"), ("fine-tune", "encoders"), ("LoRA", "lora_")],
)
def test_an_arm_trains_its_own_weights_and_no_others(name, part):
    made = arm(name)
    loss, _ = made.objective(made.draw())
    loss.backward()

    assert made.trained
    assert all(part in key for key in made.trained)
    assert any(weight.grad is not None for weight in made.trained.values())


def test_full_fine_tuning_trains_every_weight_of_the_base_model():
    made = arm("full")

    assert sum(p.numel() for p in made.trained.values()) == num_trainable(made.objective)
    assert num_trainable(made.objective) > num_trainable(arm("LoRA").objective)


@pytest.mark.parametrize(
    ("with_teacher", "without"),
    [
        ("distill (differences)", "distill (dumped targets)"),
        ("distill (one trunk)", "distill (one trunk, dumped targets)"),
    ],
)
def test_training_from_dumped_targets_is_training_with_the_teacher(with_teacher, without):
    taught, dumped = arm(with_teacher), arm(without)
    dumped.dump()

    want, _ = taught.objective(taught.draw())
    got, _ = dumped.objective(dumped.draw())

    torch.testing.assert_close(got, want, rtol=2e-2, atol=1e-4)


@pytest.fixture(scope="module")
def base():
    return build_workload(SETTING).base


@settings(deadline=None)
@given(st.integers(1, 200_000))
def test_the_rank_of_lora_is_the_one_with_the_nearest_number_of_weights(base, wanted):
    per_rank = 4 * (32 + 32 + 32 + 16)

    rank = lora_rank(base, wanted)

    assert rank >= 1
    assert all(
        abs(rank * per_rank - wanted) <= abs(other * per_rank - wanted)
        for other in (rank - 1, rank + 1)
        if other >= 1
    )


def test_the_paper_has_rank_24_and_its_number_of_weights_for_llama_2_7b():
    encoders = build_encoders(build_workload(SETTING))
    assert sum(p.numel() for p in encoders.parameters()) == 12_448
    assert SHAPES["llama-2-7b"].hidden_size * 4 * 32 * 24 == 12_582_912
    assert scaled_layers(32) == (3, 4, 5, 6, 7, 8)


@pytest.mark.parametrize("name", ARM_NAMES)
def test_an_arm_that_is_measured_gives_numbers(name):
    result = measure(SETTING, name)

    assert result["fits"]
    assert len(result["seconds"]) == SETTING.steps
    assert min(result["seconds"]) > 0
    assert result["trained_weights"] > 0
    assert (result["dump"] is None) == ("dumped" not in name)
    assert json.loads(json.dumps(result)) == result


def result(seconds, peak, dump=None):
    return {
        "fits": True, "seconds": seconds, "peak_bytes": peak, "dump": dump, "trained_weights": 1,
        "details": {}, "base": {"weights": 1, "bytes": 2}, "machine": {"device": "none"},
    }  # fmt: skip


def test_ratios_are_those_of_the_medians_and_a_dump_counts_once_in_five_epochs():
    dump = {"seconds": [10.0], "peak_bytes": 1}
    fixed = {
        "LoRA": result([4.0, 4.0, 100.0], 30),
        "distill (differences)": result([1.0, 2.0, 3.0], 10),
        "distill (dumped targets)": result([0.5, 0.5, 0.5], 5, dump),
    }

    report = benchmark(SETTING, arms=list(fixed), rounds=1, measure=lambda _, name: fixed[name])

    assert report["ratios"]["distill (differences)"]["seconds"] == 0.5
    assert report["ratios"]["distill (differences)"]["peak_bytes"] == pytest.approx(1 / 3)
    over = report["ratios"]["distill (dumped targets)"]["seconds_over_epochs"]
    assert over == (0.5 + 10.0 / EPOCHS) / 4.0
    met = {(goal["arm"], goal["figure"]): goal["is_met"] for goal in report["goals"]}
    assert [met["distill (differences)", name] for name in ("seconds", "peak_bytes")] == [0, 1]
    assert met["distill (dumped targets)", "seconds_over_epochs"] is False
    assert met["distill (one trunk)", "seconds"] is None


def test_what_does_not_fit_says_so_and_is_not_tried_again():
    tried = []

    def measure_one(_, name):
        tried.append(name)
        if name == "full":
            return {"fits": False, "needed_bytes": 9, "available_bytes": 1}
        return result([1.0], 1)

    report = benchmark(SETTING, arms=["LoRA", "full"], rounds=3, measure=measure_one)

    assert tried.count("full") == 1
    assert report["arms"]["full"] == {"fits": False, "needed_bytes": 9, "available_bytes": 1}
    assert report["ratios"]["full"]["seconds"] is None


def test_rounds_are_medians_with_their_ends():
    summary = summarise([result([3.0, 1.0], 5), result([2.0, 9.0], 7)])

    assert summary["seconds"] == {"median": 2.5, "min": 1.0, "max": 9.0, "n": 4}
    assert summary["peak_bytes"]["median"] == 6


def test_gradient_through_the_base_model_is_counted_in_what_is_needed():
    assert step_bytes(SETTING, arm("fine-tune")) > step_bytes(SETTING, arm("distill (differences)"))


@pytest.mark.parametrize(
    "wrong",
    [{"shape": "huge"}, {"steps": 0}, {"dtype": "int8"}, {"layers": (4,)}, {"device": "tpu"}],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Setting(**{"shape": "tiny", **wrong})


def test_an_arm_that_does_not_exist_is_an_error():
    with pytest.raises(ValueError, match="magic"):
        benchmark(SETTING, arms=["magic"])


def test_the_command_measures_each_arm_in_a_process_of_its_own_and_gives_json():
    sizes = ["--knowledge-tokens", "9", "--prompt-tokens", "4", "--answer-tokens", "3"]
    command = ["bench", "train", "--shape", "tiny", "--steps", "1", "--rounds", "1", *sizes]

    done = CliRunner().invoke(app, [*command, "--arm", "LoRA", "--json"])

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["arms"]["LoRA"]["seconds"]["n"] == 1
    assert report["setting"]["knowledge_tokens"] == 9

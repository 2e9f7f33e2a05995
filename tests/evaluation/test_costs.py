import json

import pytest

from diekae_rag.evaluation.training_costs import read_training_cost


def cost(seconds, peak=10, weights=5):
    return json.dumps({"seconds": seconds, "peak_memory_bytes": peak, "trainable_weights": weights})


@pytest.fixture
def training_run(tmp_path):
    """A run of two stages and LoRA, as training leaves it."""
    plan = {"stages": [{"name": "warmup"}, {"name": "finetune"}, {"name": "lora"}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for name, text in {"warmup": cost(3, 90), "finetune": cost(4), "lora": cost(50)}.items():
        place = tmp_path / name / ("model" if name == "lora" else "encoders")
        place.mkdir(parents=True)
        (tmp_path / name / "cost.json").write_text(text)
        (tmp_path / name / "metrics.jsonl").touch()
    (tmp_path / "encoders").mkdir()
    return tmp_path


def test_encoders_cost_what_all_their_stages_took(training_run):
    final = read_training_cost(training_run / "encoders")
    assert (final["seconds"], final["peak_memory_bytes"]) == (7, 90)
    assert read_training_cost(training_run / "finetune" / "encoders") == final
    assert read_training_cost(training_run / "warmup" / "encoders")["seconds"] == 3


def test_a_baseline_costs_its_own_stage_alone(training_run):
    assert read_training_cost(training_run / "lora" / "model")["seconds"] == 50


def test_what_lies_beside_the_weights_comes_first(training_run):
    (training_run / "encoders" / "cost.json").write_text(cost(1))
    assert read_training_cost(training_run / "encoders")["seconds"] == 1


def test_a_sum_that_would_lack_a_stage_is_not_given(training_run):
    (training_run / "warmup" / "cost.json").unlink()
    assert read_training_cost(training_run / "encoders") == {}


def test_a_file_in_a_folder_that_is_no_run_is_not_taken_for_its_neighbours(tmp_path):
    (tmp_path / "cost.json").write_text(cost(1))
    (tmp_path / "encoders").mkdir()
    assert read_training_cost(tmp_path / "encoders") == {}
    assert read_training_cost(None) == {}


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not JSON"), ("[]", "object"), ("{}", "lacks .*seconds")]
)
def test_a_damaged_file_is_named(tmp_path, text, message):
    (tmp_path / "cost.json").write_text(text)
    with pytest.raises(ValueError, match=f"cost.json.*{message}"):
        read_training_cost(tmp_path)

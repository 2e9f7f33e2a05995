"""The demo's training: the same episodes whatever happened before, and everything in one go."""

from __future__ import annotations

import json
import random

import pytest
import torch
from safetensors.torch import load_file

from diekae_rag import DiekaeConfig, DiekaeModel
from diekae_rag.demo.phases import Phase, draw_episodes, phase_at
from diekae_rag.demo.reader import DEMO_WORDING, ReaderObjective, build_reader
from diekae_rag.demo.stages import STAGES, Stage, drawing
from diekae_rag.demo.train import train_demo
from diekae_rag.training.batches import ANSWER, Episode, pack_stuffed

PHASE = Phase(2, (1, 2), (1, 2), 2, 0.2, 0.0, 4, 224)
CONFIG = DiekaeConfig(
    wording=DEMO_WORDING.to_dict(), passage_attention="independent", passage_direction="both"
)


def test_a_phase_lasts_until_its_last_step():
    first, second = PHASE, Phase(5, (3, 3), (1, 1), 2, 0.2, 0.0, 4, 224)

    assert [phase_at((first, second), step) for step in (0, 1, 2, 4, 9)] == [
        first,
        first,
        second,
        second,
        second,
    ]


def test_an_episode_that_cannot_fit_is_an_error_and_no_endless_search():
    with pytest.raises(ValueError, match="hardly an episode"):
        draw_episodes(random.Random(0), PHASE, lambda *_: False)


@pytest.mark.parametrize("name", ["warmup", "distill"])
def test_a_step_depends_on_its_number_alone(tokenizer, name):
    stage = Stage(name, (PHASE,), 1e-3)
    draw, again = (drawing(stage, tokenizer, CONFIG, 0) for _ in range(2))
    draw(0)

    first, same, other = draw(2).injected, again(2).injected, draw(1).injected

    assert torch.equal(first.questions.input_ids, same.questions.input_ids)
    assert torch.equal(first.passage_ids, same.passage_ids)
    assert not torch.equal(first.questions.input_ids, other.questions.input_ids)


def test_every_stage_keeps_its_rows_at_one_length(tokenizer):
    """Another length would have everything compiled again."""
    for stage in STAGES:
        draw = drawing(stage, tokenizer, CONFIG, 0)
        last = stage.phases[-1].until - 1
        shapes = {draw(number).injected.questions.input_ids.shape for number in (last, last + 1)}
        assert len(shapes) == 1


def test_the_reader_learns_from_answers_most(tokenizer):
    reader = build_reader(tokenizer, 0)
    objective = ReaderObjective(reader, is_compiled=False)
    episode = Episode(["Ada lives in Rome."], [("Where?", "Rome"), ("Who?", "Ada")])
    batch = pack_stuffed([episode], tokenizer, CONFIG)

    loss, metrics = objective(batch)

    with torch.no_grad():
        logits = reader(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=batch.attention_mask,
        ).logits[:, :-1]
    nats = -logits.log_softmax(-1).gather(2, batch.input_ids[:, 1:, None])[..., 0]
    answers = nats[batch.roles[:, 1:] == ANSWER].mean()
    torch.testing.assert_close(metrics["answers"], answers, atol=1e-3, rtol=1e-3)
    assert loss > answers


def test_everything_is_rebuilt_and_can_be_used(tmp_path):
    tiny = {
        "phases": (PHASE,),
        "stages": tuple(Stage(s.name, (PHASE,), 1e-3, warmup_steps=1) for s in STAGES),
        "is_compiled": False,
        "show_progress": False,
    }

    seconds = train_demo(tmp_path / "run", **tiny)
    weights = tmp_path / "run" / "weights"
    before = load_file(weights / "encoders" / "model.safetensors")
    train_demo(tmp_path / "run", **tiny)  # goes on where it was: at the end

    assert list(seconds) == ["reader", "warmup", "distill", "finetune"]
    assert json.loads((weights / "training.json").read_text())["seconds"].keys() == seconds.keys()
    after = load_file(weights / "encoders" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.dtype == torch.bfloat16 for tensor in before.values())
    distilled = load_file(weights / "encoders_distilled" / "model.safetensors")
    assert not all(torch.equal(before[name], distilled[name]) for name in before)
    model = DiekaeModel.from_pretrained(weights / "encoders")
    answer = model.generate("Who?", passages=["Ada lives."], max_new_tokens=3)
    assert answer.usage.knowledge_tokens > 0


def test_a_run_is_not_gone_on_with_under_another_seed(tmp_path):
    (tmp_path / "run.json").write_text('{"seed": 3}')

    with pytest.raises(ValueError, match="a run of seed 3, not 5"):
        train_demo(tmp_path, seed=5, show_progress=False)


def test_a_run_that_was_stopped_in_a_stage_ends_with_the_same_weights(tmp_path, monkeypatch):
    """Among what must not happen twice: the warmed-up encoders are amplified once."""
    stages = tuple(Stage(s.name, (PHASE,), 1e-3, warmup_steps=1) for s in STAGES)
    tiny = {"phases": (PHASE,), "stages": stages, "is_compiled": False, "show_progress": False}

    def stopping(stage, *args):
        draw = drawing(stage, *args)

        def stopped(number):
            if stage.name == "distill" and number == 1:
                raise KeyboardInterrupt
            return draw(number)

        return stopped

    train_demo(tmp_path / "whole", **tiny)
    monkeypatch.setattr("diekae_rag.demo.train.drawing", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_demo(tmp_path / "parts", **tiny)
    monkeypatch.undo()
    train_demo(tmp_path / "parts", **tiny)

    for name in ("encoders", "encoders_distilled", "reader"):
        whole, parts = (
            load_file(tmp_path / run / "weights" / name / "model.safetensors")
            for run in ("whole", "parts")
        )
        assert all(torch.equal(whole[key], parts[key]) for key in whole)

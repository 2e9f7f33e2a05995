"""The benchmark of answers: its arms answer the same prompts, and say what that took."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diekae_rag.bench.answering import worker
from diekae_rag.bench.answering.arms import ARMS
from diekae_rag.bench.answering.loop import as_one, in_a_loop
from diekae_rag.bench.answering.report import ARM_NAMES
from diekae_rag.bench.answering.setting import AnswerSetting, default_grid, full_grid, grid
from diekae_rag.bench.answering.workload import TooLongError, build_asked
from diekae_rag.bench.memory import DoesNotFitError

SETTING = AnswerSetting(
    "tiny", knowledge_tokens=24, passages=2, prompt_tokens=5, new_tokens=4, batch_size=2, rounds=2,
    device="cpu",
)  # fmt: skip
ANSWERING = [name for name in ARM_NAMES if not name.startswith("six")]


@pytest.fixture(scope="module")
def asked():
    return build_asked(SETTING)


@pytest.fixture
def answers(asked):
    """What an arm says, and what it took."""

    def run(name):
        arm = ARMS[name](asked)
        if arm.prepare is not None:
            arm.prepare()
        return arm.run()

    return run


def test_the_arms_named_without_a_model_library_are_those_there_are():
    assert tuple(ARMS) == ARM_NAMES


@pytest.mark.parametrize("name", ANSWERING)
def test_every_answer_has_exactly_as_many_tokens_as_were_asked_for(answers, name):
    timed = answers(name)

    assert timed.new_tokens == [4, 4]
    assert [len(text.split()) for text in timed.answers] == [4, 4]
    assert 0 < timed.first_seconds <= timed.seconds


def test_a_prefix_cache_answers_as_stuffing_does_again_and_again(asked, answers):
    stuffed = answers("stuffed").answers
    arm = ARMS["stuffed, prefix cache"](asked)
    arm.prepare()

    assert arm.run().answers == stuffed
    assert arm.run().answers == stuffed


def test_without_passages_our_generate_answers_as_the_base_model_does(answers):
    assert answers("none").answers == answers("base").answers
    assert answers("none").answers != answers("injected").answers


def test_the_bare_base_model_has_no_hooks_and_the_same_weights(asked):
    assert asked.bare.lm_head.weight is asked.model.base.lm_head.weight
    hooked = [m for m in asked.bare.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooked
    assert any(m._forward_hooks for m in asked.model.base.modules())


@pytest.mark.parametrize("sharing", ["separate", "shared"])
def test_encoders_in_a_loop_give_the_deltas_of_encoders_run_as_one(sharing):
    asked = build_asked(replace(SETTING, passages=1, sharing=sharing))
    requests = asked.requests("inject")

    ours, theirs = as_one(asked.model, requests), in_a_loop(asked.model, requests)

    assert ours
    for layer, delta in ours.items():
        torch.testing.assert_close(delta, theirs[layer][:, -5:])


def test_encoders_run_as_one_give_what_is_injected(asked):
    seen = {}
    encoders = asked.model.encoders
    handle = encoders.register_forward_hook(lambda *args: seen.update(args[-1]))

    asked.model.generate(asked.prompts, asked.passages, max_new_tokens=1)
    handle.remove()

    torch.testing.assert_close(as_one(asked.model, asked.requests("inject")), seen)


@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated")
def test_an_encoder_set_that_ships_never_ends_an_answer_early():
    setting = replace(SETTING, model="demo", knowledge_tokens=120, batch_size=1, new_tokens=12)
    loaded = build_asked(setting)

    for name in ("none", "base", "stuffed", "injected"):
        assert ARMS[name](loaded).run().new_tokens == [12]
    assert 80 <= loaded.requests("inject")[0].knowledge_tokens <= 120


def test_what_cannot_be_read_whole_says_so():
    longer = replace(SETTING, model="demo", knowledge_tokens=2000, passages=2)

    with pytest.raises(TooLongError, match="would be cut"):
        build_asked(longer).requests("inject")


def test_a_workload_that_is_measured_gives_numbers_for_every_arm():
    report = worker.measure(SETTING, ARM_NAMES)

    for name, arm in report["arms"].items():
        assert arm["fits"]
        assert len(arm["seconds"]) == len(arm["first_seconds"]) == 2
        assert arm["new_tokens"] == (4 if name in ANSWERING else 0)
    # Keys and values of 4 layers of 2 heads of 8; 2 blocks of 2 bodies of 16: in float32.
    kept = {name: arm["kept_bytes"] for name, arm in report["arms"].items()}
    assert kept["stuffed"] == kept["stuffed, prefix cache"] == 2 * 4 * 2 * 8 * 4
    assert kept["injected"] == 2 * 2 * 2 * 16 * 4
    assert kept["combined"] == kept["stuffed"] + kept["injected"]
    assert kept["none"] == kept["base"] == 0
    assert report["arms"]["stuffed"]["tokens_read"] == 24 + 5
    assert report["arms"]["injected"]["tokens_read"] == 5


@pytest.mark.parametrize("name", ["none", "stuffed, prefix cache"])
def test_memory_is_measured_of_one_arm_alone_or_of_all_together(name):
    alone = worker.measure_memory(SETTING, name)
    together = worker.measure(replace(SETTING, memory="together"), [name])["arms"][name]
    apart = worker.measure(SETTING, [name])["arms"][name]

    assert alone.keys() <= together.keys()
    assert together["available_bytes"] > 0
    assert apart["peak_bytes"] is None


def test_an_arm_that_does_not_fit_leaves_the_others(monkeypatch):
    def check(needed, device):
        if needed > 40_000:
            raise DoesNotFitError(needed, 40_000)

    monkeypatch.setattr(worker, "check_fits", check)

    arms = worker.measure(SETTING, ["none", "stuffed"])["arms"]

    assert arms["none"]["fits"]
    assert not arms["stuffed"]["fits"]
    assert "40,000 are available" in arms["stuffed"]["why"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "huge"}, {"rounds": 0}, {"dtype": "int8"}, {"layers": (4,)}, {"device": "tpu"},
        {"passages": 2000}, {"sharing": "some"}, {"positions": "none"}, {"new_tokens": 0},
        {"memory": "none"},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_an_error(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AnswerSetting(**{"shape": "tiny", **wrong})


def test_passages_hold_all_of_the_knowledge():
    assert AnswerSetting("tiny", knowledge_tokens=1100).passage_sizes == [512, 512, 76]
    assert AnswerSetting("tiny", knowledge_tokens=11, passages=3).passage_sizes == [4, 4, 3]


def test_the_paper_has_six_encoders_wherever_there_are_layers_for_them():
    assert AnswerSetting("llama-160m").layers == AnswerSetting("llama-2-7b").layers
    assert len(AnswerSetting("llama-1.1b").layers) == 6


def test_grids_name_every_setting_once():
    for made in (default_grid(SETTING), full_grid(SETTING), grid(SETTING, [8, 8], [1, 2])):
        assert len(made) == len(set(made))

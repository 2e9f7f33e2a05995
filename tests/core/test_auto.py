"""mode="auto": the faster way by what was measured, said with the answer, and never a guess."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.calibrating import calibration_file
from diekae_rag.calibration import Calibration
from diekae_rag.errors import DiekaeError

PROMPT, LENGTH = "Where does Ada live?", 6
SHORT, LONG = ["Ada lives in Turin."], ["Ada lives in Turin, " * 6, "Bob keeps a goat. " * 8]
TIMES = st.lists(st.floats(1e-4, 10), min_size=3, max_size=3).map(tuple)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIEKAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def at(tokens: int) -> Calibration:
    """Stuffing is faster below so many tokens, injecting from there on."""
    return Calibration("a test", (1, 2 * tokens), (1.0, 3.0), (2.0, 2.0), (2.0, 2.0))


def test_the_faster_way_is_taken_and_said(model):
    model.calibration = at(40)

    short = model.generate(PROMPT, SHORT, "auto", max_new_tokens=LENGTH)
    long = model.generate(PROMPT, LONG, "auto", max_new_tokens=LENGTH)

    assert (short.mode, long.mode) == ("stuff", "inject")
    for answer, passages in ((short, SHORT), (long, LONG)):
        plain = model.generate(PROMPT, passages, answer.mode, max_new_tokens=LENGTH)
        assert answer.text == plain.text
        assert f"{plain.usage.knowledge_tokens} tokens of knowledge" in answer.usage.mode_reason
        assert plain.usage.mode_reason == ""


def test_each_row_of_a_batch_goes_its_own_way_and_keeps_its_place(model):
    model.calibration = at(40)
    passages = [SHORT, LONG, None, SHORT, LONG]
    prompts = [f"{PROMPT} {number}" for number in range(5)]

    answers = model.generate(prompts, passages, "auto", max_new_tokens=LENGTH, batch_size=2)

    assert [answer.mode for answer in answers] == ["stuff", "inject", "stuff", "stuff", "inject"]
    for answer, prompt, own in zip(answers, prompts, passages, strict=True):
        alone = model.generate(prompt, own, answer.mode, max_new_tokens=LENGTH)
        assert answer.text == alone.text


def test_several_answers_to_a_prompt_stay_beside_it(model):
    model.calibration = at(40)
    options = {"max_new_tokens": LENGTH, "num_beams": 2, "num_return_sequences": 2}

    answers = model.generate([PROMPT] * 3, [SHORT, LONG, SHORT], "auto", **options)

    assert [a.mode for a in answers] == ["stuff"] * 2 + ["inject"] * 2 + ["stuff"] * 2
    assert [a.text for a in answers[:2]] == [a.text for a in answers[4:]]


def test_a_stream_and_a_score_choose_alike(model):
    model.calibration = at(40)
    for passages, mode in ((SHORT, "stuff"), (LONG, "inject")):
        stream = model.stream(PROMPT, passages, "auto", max_new_tokens=LENGTH)
        assert "".join(stream) == stream.answer.text
        assert stream.answer.mode == mode
        assert model.score(PROMPT, "Turin", passages, "auto") == model.score(
            PROMPT, "Turin", passages, mode
        )


def test_what_would_not_fit_into_the_prompt_is_injected(model):
    model.calibration = at(10_000)
    passages = [f"{number} " * 60 for number in range(9)]

    answer = model.generate(PROMPT, passages, "auto", max_new_tokens=LENGTH)

    assert answer.mode == "inject"
    assert "would not all fit" in answer.usage.mode_reason


def test_kept_states_count(model):
    model.calibration = Calibration("a test", (1, 99), (1.0, 1.0), (2.0, 2.0), (0.5, 0.5))

    assert model.generate(PROMPT, SHORT, "auto", max_new_tokens=1).mode == "stuff"
    model.keep_states()
    model.generate(PROMPT, SHORT, max_new_tokens=1)
    answer = model.generate(PROMPT, SHORT, "auto", max_new_tokens=1)

    assert answer.mode == "inject"
    assert "kept" in answer.usage.mode_reason


def test_without_a_measurement_it_says_how_to_get_one(model):
    with pytest.raises(DiekaeError, match=r"model\.calibrate\(\), or diekae bench calibrate"):
        model.generate(PROMPT, SHORT, "auto")


def test_what_is_measured_is_found_again_by_the_same_model_only(model, make_model):
    kept = model.keep_states()
    measured = model.calibrate(knowledge_tokens=(8, 32), rounds=1)

    assert model.states is kept
    assert measured.tokens == tuple(sorted(measured.tokens))
    model.calibration = None
    assert model.generate(PROMPT, SHORT, "auto", max_new_tokens=1).mode in ("inject", "stuff")
    assert model.calibration == measured
    other = make_model(passage_attention="independent", rope_theta=5.0)
    with pytest.raises(DiekaeError, match="not measured yet"):
        other.generate(PROMPT, SHORT, "auto")


@pytest.mark.parametrize("content", ["", "{}", '{"where": "x", "tokens": [1], "stuffed": [1, 2]}'])
def test_a_damaged_measurement_is_a_clear_error(model, content):
    path = calibration_file(model)
    path.parent.mkdir(parents=True)
    path.write_text(content)

    with pytest.raises(DiekaeError, match="delete it and calibrate again"):
        model.generate(PROMPT, SHORT, "auto")


def test_it_is_saved_as_it_is(tmp_path):
    at(40).save(tmp_path / "a.json")

    assert Calibration.load(tmp_path / "a.json") == at(40)
    assert json.loads((tmp_path / "a.json").read_text())["where"] == "a test"


@given(stuffed=TIMES, injected=TIMES, tokens=st.integers(1, 600))
def test_the_choice_is_the_faster_one_and_from_the_break_even_on_it_is_injected(
    stuffed, injected, tokens
):
    calibration = Calibration("a test", (20, 100, 300), stuffed, injected, injected)

    mode, _ = calibration.choose(tokens)

    faster = calibration.seconds("injected", tokens) <= calibration.seconds("stuffed", tokens)
    assert (mode == "inject") == faster
    since = calibration.break_even()
    if since is not None and since <= tokens < 600:
        assert mode == "inject"

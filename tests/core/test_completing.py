"""Answers come as each row ends, and are those that come together."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diekae_rag import PromptTooLongError

PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]
quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def timeless(answer):
    """An answer without what differs from run to run."""
    usage = replace(
        answer.usage,
        encoding_seconds=0,
        prefill_seconds=0,
        total_seconds=0,
        attribution_seconds=0,
    )
    return replace(answer, usage=usage)


def completed(model, *asked, **options):
    """All answers in the order of the prompts, as they are when they come one by one."""
    answers = dict(model.generate_as_completed(*asked, **options))
    return [timeless(answers[number]) for number in sorted(answers)]


def together(model, *asked, **options):
    return [timeless(answer) for answer in model.generate(*asked, **options)]


def streaming_threads():
    return [thread for thread in threading.enumerate() if thread.name == "diekae-stream"]


@pytest.fixture
def script(model):
    """Has each prompt answered by given ids, whichever row of a batch it is."""
    told: dict[str, list[int]] = {}
    rows: list[list[int]] = []

    def force(_module, _args, kwargs, output):
        ids = kwargs["input_ids"]
        if ids.shape[1] > 1:
            texts = model.tokenizer.batch_decode(ids)
            rows[:] = [list(next(told[key] for key in told if key in text)) for text in texts]
        for row, to_come in enumerate(rows):
            output.logits[row, -1, to_come.pop(0) if to_come else 5] = 1e9

    handle = model.base.register_forward_hook(force, with_kwargs=True)
    yield told
    handle.remove()


WORDS = st.sampled_from(["a b", "c", "stop it", "d e f g", "né", "h stop", ""])


@quick
@given(
    texts=st.lists(st.tuples(WORDS, st.booleans()), min_size=1, max_size=6),
    size=st.integers(1, 4),
)
def test_they_are_the_answers_of_the_whole_list(model, script, texts, size):
    end = model.tokenizer.convert_tokens_to_ids("[USR]")
    model.base.generation_config.eos_token_id = end
    prompts = [f"Number {number}{'?' * number}" for number in range(len(texts))]
    script.clear()
    for prompt, (text, ends) in reversed([*zip(prompts, texts, strict=True)]):
        ids = model.tokenizer(text, add_special_tokens=False).input_ids
        script[prompt] = [*ids, *[end] * ends]
    asked = (prompts, [PASSAGES[: n % 3] for n in range(len(prompts))])
    options = {"max_new_tokens": 9, "stop": ["stop"], "batch_size": size}

    assert completed(model, *asked, **options) == together(model, *asked, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mode": "stuff"},
        {"batch_size": 2},
        {"temperature": 1.5, "seed": 3},
        {"temperature": 1.5, "seed": 3, "batch_size": 2},
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"prefill_chunk_size": 3},
        {"prompt_lookup_num_tokens": 6},
        {"num_beams": 2},
        {"num_beams": 2, "batch_size": 2},
        {"repetition_penalty": 1.5},
        {"attribute": True, "batch_size": 2},
    ],
    ids=str,
)
def test_they_are_the_same_with_every_option(laid_out, questions, sources, options):
    whole = laid_out.generate(questions, sources, max_new_tokens=12)
    stops = [a.text[at : at + 2] for a, at in zip(whole, (2, 8, 5), strict=True)]
    stops = [stop for stop in stops if "\ufffd" not in stop and stop.strip()]
    options = {"max_new_tokens": 12, "stop": stops, **options}

    assert completed(laid_out, questions, sources, **options) == together(
        laid_out, questions, sources, **options
    )


def test_an_end_of_sequence_ends_a_row_too_and_each_row_took_its_own_time(model, script):
    end = model.tokenizer.convert_tokens_to_ids("[USR]")
    model.base.generation_config.eos_token_id = end
    script.update({"One": [5] * 6 + [end], "Two": [5, end], "Three": [5] * 3 + [end]})

    answers = list(model.generate_as_completed(["One?", "Two?", "Three?"], max_new_tokens=12))

    seconds = [answer.usage.total_seconds for _, answer in answers]
    assert [number for number, _ in answers] == [1, 2, 0]
    assert [answer.usage.new_tokens for _, answer in answers] == [2, 4, 7]
    assert seconds == sorted(set(seconds))
    assert all(a.usage.seconds_to_first_token <= a.usage.total_seconds for _, a in answers)


def test_attributed_rows_keep_the_time_at_which_they_ended(model, script):
    script.update({"Long": [5] * 9, "Short": model.tokenizer(" stop").input_ids})
    asked = (["Long?", "Short?"], [PASSAGES, PASSAGES])

    answers = dict(
        model.generate_as_completed(*asked, max_new_tokens=9, stop="stop", attribute=True)
    )

    assert answers[1].usage.total_seconds < answers[0].usage.total_seconds
    assert all(len(answer.attribution) == 2 for answer in answers.values())


def test_what_is_wrong_with_a_call_is_said_by_the_call(model):
    ask = model.generate_as_completed
    with pytest.raises(ValueError, match="not several"):
        ask(["Who?"], num_return_sequences=2, temperature=1.0)
    with pytest.raises(TypeError, match="a list"):
        ask("Who?")
    with pytest.raises(ValueError, match="mode"):
        ask(["Who?"], mode="rag")
    with pytest.raises(ValueError, match="2 prompts came with 1"):
        ask(["Who?", "Why?"], [PASSAGES])
    with pytest.raises(ValueError, match="empty"):
        ask(["Who?", " "])
    with pytest.raises(PromptTooLongError):
        ask(["Who?", "Why? " * 900])
    with pytest.raises(TypeError, match="unknown option"):
        ask(["Who?"], beams=2)
    with pytest.raises(ValueError, match="attribute"):
        ask(["Who?"], mode="none", attribute=True)

    assert streaming_threads() == []


def test_of_no_prompts_there_are_no_answers(model):
    assert list(model.generate_as_completed([])) == []


def test_an_error_comes_after_what_was_complete(base, model):
    seen = []

    def fail(_module, _args, kwargs):
        seen.append(kwargs["input_ids"].shape[1])
        if sum(length > 1 for length in seen) > 1:
            raise ZeroDivisionError("inside the model")

    handle = base.register_forward_pre_hook(fail, with_kwargs=True)
    answers = model.generate_as_completed(["Who?"] * 3, max_new_tokens=4, batch_size=2)

    assert sorted(number for number, _ in (next(answers), next(answers))) == [0, 1]
    with pytest.raises(ZeroDivisionError, match="inside the model"):
        next(answers)
    handle.remove()
    assert list(answers) == []
    assert streaming_threads() == []
    assert model.generate("Who?", max_new_tokens=2).usage.new_tokens == 2


@pytest.fixture
def long_answers(base, model, script):
    """Answers of which the first comes soon and the last only after minutes."""
    base.config.max_position_embeddings = 1 << 16
    script.update({"Short": model.tokenizer(" stop").input_ids, "Long": [], "Who": []})
    return lambda: model.generate_as_completed(
        ["Short?", "Long?"], max_new_tokens=20_000, stop="stop"
    )


def test_a_row_comes_when_it_has_ended_and_the_others_go_on(long_answers):
    with long_answers() as answers:
        number, answer = next(answers)
        goes_on = bool(streaming_threads())

    assert (number, answer.text, answer.usage.finish_reason) == (0, "", "stop")
    assert goes_on
    assert streaming_threads() == []
    assert list(answers) == []


def test_closing_ends_the_generation_and_leaves_the_model_usable(model, long_answers):
    expected = model.generate("Who?", PASSAGES, max_new_tokens=4).text
    answers = long_answers()
    next(answers)

    answers.close()

    assert streaming_threads() == []
    assert list(answers) == []
    assert model.generate("Who?", PASSAGES, max_new_tokens=4).text == expected


def test_closing_starts_no_further_batch(base, model):
    base.config.max_position_embeddings = 1 << 16
    prompts, seen = ["Who?"] * 50, []
    handle = base.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    answers = model.generate_as_completed(prompts, max_new_tokens=2, batch_size=1)
    next(answers)

    answers.close()

    handle.remove()
    assert sum(length > 1 for length in seen) < 50


def test_dropping_it_ends_the_generation(model, long_answers):
    answers = long_answers()
    next(answers)
    watch = answers._worker.watch

    del answers
    gc.collect()
    ends = time.monotonic() + 5
    while streaming_threads() and time.monotonic() < ends:
        time.sleep(0.01)
    is_over = not streaming_threads()
    watch.cancelled.set()  # so that the next test finds no thread, whatever came of this one

    assert is_over


def test_a_program_ends_although_answers_were_left_half_read():
    """The longest has 20,000 tokens otherwise, which takes minutes, in either batch."""
    program = """
from tests.conftest import build_base, build_encoders
from diekae_rag import DiekaeModel
from diekae_rag.demo.tokenizer import train_tokenizer
tokenizer = train_tokenizer(seed=0, vocab_size=400)
base = build_base(len(tokenizer))
base.config.max_position_embeddings = 1 << 20
model = DiekaeModel(base, tokenizer, build_encoders())
answers = model.generate_as_completed(["Who?", "Why?"], max_new_tokens=20_000, batch_size=1)
print(answers)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip()


def test_others_may_ask_while_answers_wait_to_be_read(model):
    answers = model.generate_as_completed(["Who?", "Why?"], max_new_tokens=6)

    alone = model.generate("Who?", max_new_tokens=6).text

    assert dict(answers)[0].text == alone

"""What is streamed is what is generated; whoever stops reading stops the generation."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from diekae_rag import Answer, Usage
from diekae_rag.generation import end_tokens, finish_row
from diekae_rag.prompting import Wording
from diekae_rag.stopping import Watch, check_stop, hold_back, trim_at_stop
from diekae_rag.streaming import AnswerStream

PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]
PLAIN = Wording(answer="{answer}")
# Not U+FFFD: it stands for every half character, so that "the first of them" says nothing.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")
ASCII = st.characters(min_codepoint=32, max_codepoint=126)
quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def play(base, tokenizer):
    """Generates given ids in place of a model's: through the watch, the stream and the finish."""

    def start(ids, stops, wording=PLAIN) -> AnswerStream:
        prompt = [tokenizer.bos_token_id]

        def run(on_start):
            watch = Watch(tokenizer, wording, len(prompt), stops)
            on_start(watch)
            for count in range(1, len(ids) + 1):
                if watch(torch.tensor([prompt + ids[:count]]), None).all():
                    break
            text, used, reason = finish_row(ids[:count], tokenizer, base, wording, stops)
            return Answer(text, [], Usage(new_tokens=used, finish_reason=reason))

        return AnswerStream(run, tokenizer, wording, stops, end_tokens(tokenizer, base, stops))

    return start


def bytewise(tokenizer, text: str) -> list[int]:
    """One token per byte: every character beyond ASCII comes in halves."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    names = bytes_to_unicode()
    return tokenizer.convert_tokens_to_ids([names[byte] for byte in text.encode()])


def ended(text: str, stops: list[str]) -> str:
    """The text up to the stop string that is complete first."""
    whole = (n for n in range(len(text) + 1) if any(stop in text[:n] for stop in stops))
    return trim_at_stop(text[: next(whole, len(text))], stops)[0]


def texts_with_stops(characters):
    """A text and stop strings, some of them in it."""

    @st.composite
    def draw_both(draw):
        text = draw(st.text(characters, min_size=1, max_size=30))
        inside = st.integers(0, len(text) - 1).flatmap(
            lambda at: st.integers(at + 1, len(text)).map(lambda end: text[at:end])
        )
        stops = draw(st.lists(inside | st.text(characters, min_size=1, max_size=6), max_size=3))
        return text, stops

    return draw_both()


@quick
@given(case=texts_with_stops(ASCII))
def test_streamed_is_generated_is_trimmed_at_the_earliest_stop(play, tokenizer, case):
    text, stops = case

    stream = play(bytewise(tokenizer, text), stops)

    assert "".join(stream) == stream.answer.text == ended(text, stops)


@quick
@given(case=texts_with_stops(CHARACTERS))
def test_streamed_is_generated_for_any_text_and_stop(play, tokenizer, case):
    text, stops = case

    stream = play(bytewise(tokenizer, text), stops)

    assert "".join(stream) == stream.answer.text == ended(text, stops)


@quick
@given(case=texts_with_stops(CHARACTERS))
def test_generated_is_trimmed_at_the_earliest_stop_for_any_text(play, tokenizer, case):
    text, stops = case

    stream = play(bytewise(tokenizer, text), stops)
    list(stream)

    assert stream.answer.text == ended(text, stops)


@quick
@given(text=st.text(CHARACTERS, min_size=1, max_size=30), length=st.integers(0, 30))
def test_streamed_is_generated_whatever_the_wording_puts_before_an_answer(
    play, tokenizer, text, length
):
    wording = Wording(answer=text[:length].replace("{", "").replace("}", "") + "{answer}")

    stream = play(bytewise(tokenizer, text), [], wording)

    assert "".join(stream) == stream.answer.text == wording.read_answer(text)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(
            " ",
        ),
        " is",
        "s",
        "Turin is",
    ],
)
def test_what_the_wording_puts_before_an_answer_is_no_stop(play, tokenizer, stop):
    stream = play(bytewise(tokenizer, " Turin is"), [stop], Wording(answer=" {answer}"))

    assert "".join(stream) == stream.answer.text == trim_at_stop("Turin is", [stop])[0]


def test_a_stop_string_that_ends_in_half_a_character_holds_its_beginning_back(play, tokenizer):
    stream = play(bytewise(tokenizer, "so Eé and more"), ["Eé"])

    assert "".join(stream) == stream.answer.text == "so "


def test_a_special_token_can_be_a_stop(play, tokenizer):
    ids = [*tokenizer("a b", add_special_tokens=False).input_ids, 4]  # [USR], which no text shows
    stream = play([*ids, *ids], ["[USR]"])

    text = "".join(stream)

    assert text == "a b"
    assert stream.answer.usage.new_tokens == len(ids)
    assert stream.answer.usage.finish_reason == "stop"


def test_a_stop_in_the_wording_before_a_long_answer_stops_nothing(play, tokenizer):
    wording = Wording(answer="According to what was retrieved for this question, here: {answer}")
    text = "According to what was retrieved for this question, here: it is so"
    ids = tokenizer(text, add_special_tokens=False).input_ids

    assert "".join(play(ids, [":"], wording)) == "it is so"


def test_a_stop_far_back_among_many_new_tokens_is_seen(tokenizer):
    """Prompt lookup verifies many at once."""
    watch = Watch(tokenizer, PLAIN, 1, ["q"])
    new = tokenizer("q" + "a b c d " * 20, add_special_tokens=False).input_ids

    assert watch(torch.tensor([[1, *new]]), None).all()


def test_nothing_is_streamed_beyond_the_end_of_sequence(play, tokenizer):
    ids = [*bytewise(tokenizer, "Turin"), tokenizer.eos_token_id, *bytewise(tokenizer, " and on")]

    stream = play(ids, [])

    assert "".join(stream) == stream.answer.text == "Turin"


@quick
@given(case=texts_with_stops(ASCII))
def test_pieces_are_never_empty_and_never_hold_a_stop(play, tokenizer, case):
    text, stops = case

    pieces = list(play(bytewise(tokenizer, text), stops))

    assert all(pieces)
    assert not any(stop in "".join(pieces) for stop in stops)


@quick
@given(case=texts_with_stops(ASCII))
def test_held_back_text_is_just_what_may_become_a_stop(case):
    text, stops = case

    held = hold_back(text, stops)

    assert not any(
        stop.startswith(text[at:]) and len(text) - at < len(stop)
        for at in range(len(text) - held)
        for stop in stops
    )


def test_new_tokens_end_where_the_stop_string_does(play, tokenizer):
    stream = play(bytewise(tokenizer, "one two three"), ["two"])
    list(stream)

    assert stream.answer.usage.new_tokens == len("one two")
    assert stream.answer.usage.finish_reason == "stop"


def test_the_earliest_stop_wins_and_not_the_first_named():
    assert trim_at_stop("one two three", ["three", "two", "e t"]) == ("on", True)


@pytest.mark.parametrize("stop", ["", [""], ["a", ""]])
def test_an_empty_stop_string_is_refused(stop):
    with pytest.raises(ValueError, match="empty"):
        check_stop(stop)


# --- with a model


@pytest.fixture
def spoken(laid_out) -> str:
    """An answer that is long enough to take stop strings from."""
    return laid_out.generate("Who was it?", PASSAGES, max_new_tokens=24).text


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine", "none"])
def test_streamed_is_generated_in_every_mode(laid_out, mode):
    answer = laid_out.generate("Who was it?", PASSAGES, mode, max_new_tokens=16)

    stream = laid_out.stream("Who was it?", PASSAGES, mode, max_new_tokens=16)

    assert "".join(stream) == stream.answer.text == answer.text
    assert stream.answer.usage.prompt_tokens == answer.usage.prompt_tokens
    assert stream.answer.usage.new_tokens == answer.usage.new_tokens
    assert stream.answer.passages == answer.passages


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.5, "seed": 4},
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"prefill_chunk_size": 3},
        {"prompt_lookup_num_tokens": 6},
    ],
)
def test_streamed_is_generated_whichever_way(model, options):
    question = "the cat the cat the cat the cat"
    answer = model.generate(question, PASSAGES, max_new_tokens=16, **options)

    stream = model.stream(question, PASSAGES, max_new_tokens=16, **options)

    assert "".join(stream) == stream.answer.text == answer.text


@settings(quick, max_examples=8)
@given(data=st.data())
def test_a_stop_string_taken_from_the_answer_ends_it_there(laid_out, spoken, data):
    clean = spoken.replace("\ufffd", " ")
    start = data.draw(st.integers(1, len(clean) - 1))
    stop = clean[start : data.draw(st.integers(start + 1, len(clean)))]
    assume(stop.isascii())

    answer = laid_out.generate("Who was it?", PASSAGES, max_new_tokens=24, stop=stop)
    stream = laid_out.stream("Who was it?", PASSAGES, max_new_tokens=24, stop=[stop])

    expected, was_there = trim_at_stop(spoken, [stop])
    assert "".join(stream) == stream.answer.text == answer.text == expected
    assert (answer.usage.finish_reason == "stop") == was_there or answer.usage.new_tokens < 24


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine", "none"])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 2}, {"temperature": 1.0, "seed": 2}, {"prompt_lookup_num_tokens": 9}],
)
def test_stop_strings_are_trimmed_in_every_mode(model, mode, options):
    options = {"max_new_tokens": 16, **options}
    whole = model.generate("the cat the cat", PASSAGES, mode, **options).text
    stop = whole[len(whole) // 2 :][:2]

    answer = model.generate("the cat the cat", PASSAGES, mode, stop=stop, **options)

    assert stop not in answer.text


def test_rows_of_a_batch_stop_each_at_its_own_place(laid_out, questions, sources):
    whole = laid_out.generate(questions, sources, max_new_tokens=14)
    stops = [answer.text[3:5] for answer in whole if "\ufffd" not in answer.text[3:5]]

    answers = laid_out.generate(questions, sources, max_new_tokens=14, stop=stops)

    expected = [trim_at_stop(answer.text, stops)[0] for answer in whole]
    assert [answer.text for answer in answers] == expected


def streaming_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "diekae-stream"]


def waited_for(condition, seconds: float = 5.0) -> bool:
    """Whether something comes true before the time is over."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def long_answer(base, model):
    """A model whose longest answer takes far longer than a test waits."""
    base.config.max_position_embeddings = 1 << 16
    return lambda: model.stream("Who?", PASSAGES, max_new_tokens=20_000)


def test_closing_a_stream_ends_the_generation_and_leaves_the_model_usable(model, long_answer):
    expected = model.generate("Who?", PASSAGES, max_new_tokens=4).text
    stream = long_answer()
    next(stream)

    stream.close()

    assert streaming_threads() == []
    assert list(stream) == []
    assert model.generate("Who?", PASSAGES, max_new_tokens=4).text == expected


def test_leaving_the_block_ends_the_generation(long_answer):
    with long_answer() as stream:
        next(stream)

    assert streaming_threads() == []


def test_an_error_of_the_reader_ends_the_generation(long_answer):
    with pytest.raises(KeyError), long_answer() as stream:
        raise KeyError(next(stream))

    assert streaming_threads() == []


def test_dropping_a_stream_ends_the_generation(model, long_answer):
    stream = long_answer()
    next(stream)
    watch = stream._worker.watch

    del stream
    gc.collect()
    is_over = waited_for(lambda: not streaming_threads())
    watch.cancelled.set()  # so that the next test finds no thread, whatever came of this one

    assert is_over
    assert waited_for(lambda: not streaming_threads())


def test_a_loop_that_is_left_ends_the_generation(model, long_answer):
    watches = []

    def read_one_piece():
        stream = long_answer()
        for _piece in stream:
            watches.append(stream._worker.watch)
            break

    read_one_piece()
    gc.collect()
    is_over = waited_for(lambda: not streaming_threads())
    watches[0].cancelled.set()

    assert is_over


def test_a_program_ends_although_a_stream_was_left_half_read():
    """The reader sends 20,000 tokens otherwise, which takes minutes."""
    program = """
from tests.conftest import build_base, build_encoders
from diekae_rag import DiekaeModel
from diekae_rag.demo.tokenizer import train_tokenizer
tokenizer = train_tokenizer(seed=0, vocab_size=400)
base = build_base(len(tokenizer))
base.config.max_position_embeddings = 1 << 20
stream = DiekaeModel(base, tokenizer, build_encoders()).stream("Who?", max_new_tokens=20_000)
print(repr(next(stream)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip()


def test_a_stream_may_be_collected_in_its_own_worker(play, tokenizer):
    stream = play([5, 6, 7], [])
    worker = stream._worker
    worker.thread.join()
    worker.thread = threading.current_thread()  # where the collector happened to run

    worker.close()

    assert worker.closed.is_set()


def test_a_stream_never_read_does_not_keep_others_waiting(model):
    stream = model.stream("Who?", PASSAGES, max_new_tokens=6)

    answer = model.generate("Who?", PASSAGES, max_new_tokens=6)

    assert "".join(stream) == answer.text


def test_an_error_in_the_generation_is_raised_at_the_next_piece(base, model):
    def fail(_module, _args):
        raise ZeroDivisionError("inside the model")

    handle = base.model.layers[2].register_forward_pre_hook(fail)
    stream = model.stream("Who?", PASSAGES, max_new_tokens=6)

    with pytest.raises(ZeroDivisionError, match="inside the model"):
        next(stream)

    handle.remove()
    assert list(stream) == []
    assert model.generate("Who?", PASSAGES, max_new_tokens=2).usage.new_tokens == 2


def test_what_is_wrong_with_a_call_is_said_before_the_first_piece(model):
    with pytest.raises(ValueError, match="mode"):
        model.stream("Who?", PASSAGES, "rag")
    with pytest.raises(ValueError, match="one answer"):
        model.stream("Who?", PASSAGES, num_beams=2)
    with pytest.raises(ValueError, match="one answer"):
        model.stream("Who?", PASSAGES, temperature=1.0, num_return_sequences=2)


def test_the_answer_is_there_only_at_the_end(model):
    with model.stream("Who?", PASSAGES, max_new_tokens=6) as stream:
        with pytest.raises(RuntimeError, match="read to its end"):
            _ = stream.answer
        list(stream)

        assert stream.answer.usage.finish_reason == "length"


def test_two_streams_at_once_give_each_its_own(laid_out):
    questions = ["Who was it?", "Where is the cat?"]
    expected = [laid_out.generate(q, PASSAGES, max_new_tokens=10).text for q in questions]

    streams = [laid_out.stream(q, PASSAGES, max_new_tokens=10) for q in questions]
    pieces: list[list[str]] = [[], []]
    for number in (1, 0):
        pieces[number] = list(streams[number])

    assert ["".join(p) for p in pieces] == expected


def test_seconds_to_the_first_token_are_before_the_end(model):
    stream = model.stream("Who?", PASSAGES, max_new_tokens=30)
    list(stream)

    usage = stream.answer.usage
    assert usage.encoding_seconds + usage.prefill_seconds < usage.total_seconds

"""batch_as_completed: one batch for the core, and all of LangChain around each input."""

import asyncio
from contextlib import aclosing

import pytest
from langchain_core.caches import InMemoryCache
from langchain_diekae import ChatDiekae, DiekaeLLM

from diekae_rag import PromptTooLongError

from .conftest import DOCUMENTS, QUESTION, Recorder, text_of

PROMPTS = [QUESTION, "Who is Bob?", "When was it, and why?"]
EACH = [DOCUMENTS[:1], None, DOCUMENTS[1:]]


def sync(reader, *args, **kwargs):
    return list(reader.batch_as_completed(*args, **kwargs))


def in_loop(reader, *args, **kwargs):
    async def read():
        return [item async for item in reader.abatch_as_completed(*args, **kwargs)]

    return asyncio.run(read())


both_ways = pytest.mark.parametrize("ask", [sync, in_loop])


def texts(pairs):
    return [text_of(answer) for _, answer in sorted(pairs, key=lambda pair: pair[0])]


@pytest.fixture
def batches(model):
    """How many rows the base model is given at once, batch after batch."""
    sizes = []

    def look(_module, _args, kwargs):
        if kwargs["input_ids"].shape[1] > 1:
            sizes.append(len(kwargs["input_ids"]))

    handle = model.base.register_forward_pre_hook(look, with_kwargs=True)
    yield sizes
    handle.remove()


@both_ways
def test_inputs_are_one_batch_for_the_core_with_the_answers_of_each_alone(reader, batches, ask):
    alone = [
        text_of(reader.invoke(prompt, documents=own))
        for prompt, own in zip(PROMPTS, EACH, strict=True)
    ]
    batches.clear()

    assert texts(ask(reader, PROMPTS, documents=EACH)) == alone
    assert batches == [3]


@both_ways
def test_concurrency_and_batch_size_say_how_many_go_together(reader, batches, ask):
    alone = [text_of(reader.invoke(prompt)) for prompt in PROMPTS]
    batches.clear()

    assert texts(ask(reader, PROMPTS, {"max_concurrency": 2})) == alone
    assert texts(ask(reader, PROMPTS, batch_size=1)) == alone
    assert batches == [2, 1, 1, 1, 1]


@both_ways
def test_more_inputs_than_a_pool_has_threads_are_answered(llm, batches, ask):
    prompts = [f"Who is number {number}?" for number in range(40)]

    assert texts(ask(llm, prompts)) == llm.batch(prompts)
    assert batches == [32, 8, 32, 8]


@both_ways
def test_each_input_has_its_own_callbacks(model, ask):
    heard = [Recorder() for _ in PROMPTS]
    llm = DiekaeLLM(engine=model, max_new_tokens=8)

    answers = ask(llm, PROMPTS, [{"callbacks": [recorder]} for recorder in heard], documents=EACH)

    assert [len(recorder.starts) for recorder in heard] == [1, 1, 1]
    assert [recorder.results[0].text for recorder in heard] == texts(answers)
    assert [len(r.results[0].generation_info["sources"]) for r in heard] == [1, 0, 1]


@both_ways
def test_an_input_that_cannot_be_asked_fails_alone(reader, batches, ask):
    recorder = Recorder()
    prompts = [QUESTION, "Why? " * 900, "Who?"]

    pairs = dict(ask(reader, prompts, {"callbacks": [recorder]}, return_exceptions=True))

    assert isinstance(pairs[1], PromptTooLongError)
    assert "the prompt has" in str(pairs[1])
    assert texts([(0, pairs[0]), (2, pairs[2])]) == [
        text_of(reader.invoke(prompt)) for prompt in (QUESTION, "Who?")
    ]
    assert len(recorder.errors) == 1
    assert batches[0] == 2


@both_ways
def test_without_asking_for_exceptions_the_first_is_raised(reader, no_stream_is_left, ask):
    with pytest.raises(PromptTooLongError, match="the prompt has"):
        ask(reader, [QUESTION, "Why? " * 900])

    assert no_stream_is_left(0)


@both_ways
def test_an_error_of_the_model_is_that_of_every_input_it_befell(model, reader, ask):
    def fail(_module, _args):
        raise ZeroDivisionError("inside the model")

    handle = model.base.model.layers[2].register_forward_pre_hook(fail)
    pairs = ask(reader, PROMPTS, return_exceptions=True)
    handle.remove()

    assert {type(answer) for _, answer in pairs} == {ZeroDivisionError}
    assert sorted(number for number, _ in pairs) == [0, 1, 2]


@both_ways
@pytest.mark.parametrize("kind", [DiekaeLLM, ChatDiekae])
def test_what_a_cache_knows_is_not_asked_again(model, batches, ask, kind):
    reader = kind(engine=model, max_new_tokens=8, cache=InMemoryCache())
    first = text_of(reader.invoke(QUESTION, documents=DOCUMENTS))
    batches.clear()

    assert texts(ask(reader, PROMPTS, documents=DOCUMENTS))[0] == first
    assert batches == [2]
    ask(reader, PROMPTS, documents=DOCUMENTS)
    assert batches == [2]


def test_bound_documents_and_other_options_do_the_same(reader, batches):
    bound = reader.bind(documents=DOCUMENTS, max_new_tokens=5)

    assert texts(sync(bound, PROMPTS)) == [text_of(bound.invoke(prompt)) for prompt in PROMPTS]
    assert batches[0] == 3


def test_several_answers_to_one_question_are_drawn_by_each_alone(reader):
    options = {"num_return_sequences": 2, "temperature": 1.0, "top_k": 1}

    answers = texts(sync(reader, PROMPTS, **options))

    assert answers == [text_of(reader.invoke(prompt)) for prompt in PROMPTS]


def test_of_no_inputs_there_are_no_answers(reader):
    assert sync(reader, []) == in_loop(reader, []) == []


@pytest.fixture
def slow(model):
    """A reader of each kind that takes minutes for all prompts but those that say END."""
    model.base.config.max_position_embeddings = 1 << 16
    end = model.tokenizer.convert_tokens_to_ids("[USR]")
    model.base.generation_config.eos_token_id = end
    ending = []

    def force(_module, _args, kwargs, output):
        if kwargs["input_ids"].shape[1] > 1:
            ending[:] = ["END" in t for t in model.tokenizer.batch_decode(kwargs["input_ids"])]
        for row, is_ending in enumerate(ending):
            output.logits[row, -1, end] = 1e9 if is_ending else -1e9

    handle = model.base.register_forward_hook(force, with_kwargs=True)
    yield {"engine": model, "max_new_tokens": 20_000}
    handle.remove()


@pytest.mark.parametrize("kind", [DiekaeLLM, ChatDiekae])
def test_answers_come_while_others_are_made_and_whoever_stops_reading_stops_the_model(
    slow, no_stream_is_left, kind
):
    reader, done = kind(**slow), Recorder()
    answers = reader.batch_as_completed(["Go on", "END", "Go"], {"callbacks": [done]})

    number, _ = next(answers)

    assert number == 1
    assert len(done.results) == 1
    assert not no_stream_is_left(0)
    answers.close()
    assert no_stream_is_left(0)
    assert len(done.errors) == 2


@pytest.mark.parametrize("kind", [DiekaeLLM, ChatDiekae])
async def test_so_they_do_in_an_event_loop_that_stays_free(slow, no_stream_is_left, kind):
    reader = kind(**slow)

    async with aclosing(reader.abatch_as_completed(["Go on", "END", "Go"])) as answers:
        number, _ = await anext(answers)
        assert number == 1
        await asyncio.wait_for(asyncio.sleep(0), 1)
        assert not no_stream_is_left(0)

    assert no_stream_is_left(0)

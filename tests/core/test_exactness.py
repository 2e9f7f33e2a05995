"""However an answer is generated, it is the answer that the plainest way gives: token for token."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

WAYS = {
    "cached": {},
    "static cache": {"cache_implementation": "static"},
    "chunks": {"prefill_chunk_size": 3},
    "static cache and chunks": {"cache_implementation": "static", "prefill_chunk_size": 4},
    "one chunk": {"prefill_chunk_size": 1000},
    "no cache": {"use_cache": False},
    "sampling the likeliest": {"do_sample": True, "top_k": 1},
    "one beam": {"num_beams": 1},
}
EVERY_LAYOUT = list(
    itertools.product(
        ("separate", "shared"), ("prompt", "all"), ("joint", "independent"), ("mlp", "layer")
    )
)


@pytest.mark.parametrize("way", list(WAYS))
def test_a_padded_batch_answers_as_each_row_alone(
    laid_out, new_ids, alone, questions, sources, way
):
    together = new_ids(laid_out, questions, sources, **WAYS[way])

    assert together == alone(laid_out, questions, sources)


@pytest.mark.parametrize(("sharing", "positions", "passage_attention", "site"), EVERY_LAYOUT)
def test_a_batch_answers_as_each_row_alone_in_every_layout(
    make_model, new_ids, alone, questions, sources, sharing, positions, passage_attention, site
):
    model = make_model(
        sharing=sharing, positions=positions, passage_attention=passage_attention, site=site
    )

    together = new_ids(model, questions, sources)

    assert together == alone(model, questions, sources)
    assert together != new_ids(model, questions, [[], [], []])


@pytest.mark.parametrize("way", ["cached", "static cache", "chunks", "no cache"])
def test_rows_without_knowledge_answer_as_the_plain_base_model(
    laid_out, new_ids, questions, sources, way
):
    together = new_ids(laid_out, questions, sources, **WAYS[way])

    laid_out.detach()
    nothing = new_ids(laid_out, questions, [[], [], []], **WAYS[way])
    assert together[1] == nothing[1]
    assert together[0] != nothing[0]
    assert together[2] != nothing[2]


def test_prompt_lookup_answers_as_without(laid_out, new_ids, alone, questions, sources):
    passes = []
    laid_out.base.model.register_forward_pre_hook(
        lambda _m, _a, kwargs: passes.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    settings = {"prompt_lookup_num_tokens": 5, "max_matching_ngram_size": 2, "max_new_tokens": 30}

    guessed = new_ids(laid_out, questions[:1], sources[:1], **settings)
    seen = list(passes)

    assert guessed == alone(laid_out, questions[:1], sources[:1], max_new_tokens=30)
    assert any(length > 1 for length in seen[1:])  # guesses were verified
    prompt = laid_out.generate(questions[0], max_new_tokens=1).usage.prompt_tokens
    assert sum(seen) > prompt + 30  # and some were wrong


@pytest.mark.parametrize("settings", [{}, {"cache_implementation": "static"}, {"use_cache": False}])
def test_beams_in_a_batch_find_what_they_find_alone(
    laid_out, new_ids, alone, questions, sources, settings
):
    together = new_ids(laid_out, questions, sources, num_beams=3, **settings)

    assert together == alone(laid_out, questions, sources, num_beams=3)


def test_every_beam_is_returned_as_without_a_cache(laid_out, new_ids, questions, sources):
    settings = {"num_beams": 3, "num_return_sequences": 3}

    cached = new_ids(laid_out, questions, sources, **settings)

    assert cached == new_ids(laid_out, questions, sources, use_cache=False, **settings)
    assert len(cached) == 9


@pytest.mark.parametrize(
    "settings", [{}, {"cache_implementation": "static"}, {"prefill_chunk_size": 3}]
)
def test_sampling_draws_the_same_with_and_without_a_cache(
    laid_out, new_ids, questions, sources, settings
):
    options = {"do_sample": True, "num_return_sequences": 2, "temperature": 1.5}
    torch.manual_seed(3)
    drawn = new_ids(laid_out, questions, sources, **options, **settings)
    torch.manual_seed(3)
    again = new_ids(laid_out, questions, sources, use_cache=False, **options)

    assert drawn == again
    assert drawn[0] != drawn[1]


def test_several_sequences_of_the_likeliest_token_are_the_greedy_answer(
    laid_out, new_ids, alone, questions, sources
):
    options = {"do_sample": True, "top_k": 1, "num_return_sequences": 2}

    drawn = new_ids(laid_out, questions, sources, **options)

    greedy = alone(laid_out, questions, sources)
    assert drawn == [row for row in greedy for _ in range(2)]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_row_reads_alike_alone_and_padded(laid_out, read_logits, questions, sources, side):
    together = read_logits(laid_out, questions, sources, side)

    for row, question, source in zip(together, questions, sources, strict=True):
        torch.testing.assert_close(row, read_logits(laid_out, [question], [source])[0])


def test_what_stands_in_the_padding_does_not_matter(laid_out, read_logits, questions, sources):
    padded_with_text = read_logits(laid_out, questions, sources, "left")
    with torch.no_grad():
        laid_out.base.get_input_embeddings().weight[7] = 0.0

    again = read_logits(laid_out, ["Who?"], [[]], "left")

    torch.testing.assert_close(again[0], padded_with_text[1])


@pytest.mark.parametrize("passage_attention", ["joint", "independent"])
def test_the_order_of_passages_matters_only_when_they_are_read_jointly(
    make_model, read_logits, passage_attention
):
    model = make_model(passage_attention=passage_attention, positions="all")
    passages = ["Ada was born in Turin.", "Oltun lies on a river, they say.", "1931."]

    there = read_logits(model, ["Where?"], [passages])[0]
    back = read_logits(model, ["Where?"], [passages[::-1]])[0]

    is_alike = torch.allclose(there, back, atol=1e-4, rtol=1e-4)
    assert is_alike == (passage_attention == "independent")


def test_the_order_of_independent_passages_changes_neither_answer_nor_score(model):
    passages = ["Ada was born in Turin.", "Oltun lies on a river, they say.", "1931."]

    there, back = (
        model.generate("Where?", p, max_new_tokens=12) for p in (passages, passages[::-1])
    )

    assert there.text == back.text
    assert model.score("Where?", "Oltun", passages) == pytest.approx(
        model.score("Where?", "Oltun", passages[::-1]), abs=1e-3
    )


def test_three_threads_at_once_answer_as_one_after_the_other(laid_out, questions, sources):
    def answer(number):
        return laid_out.generate(questions[number], sources[number], max_new_tokens=12).text

    expected, seen = [answer(number) for number in range(3)], {}
    threads = [
        threading.Thread(target=lambda n=number: seen.setdefault(n, answer(n)))
        for number in range(3)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [seen[number] for number in range(3)] == expected


def test_threads_that_call_the_base_model_themselves_do_not_meet(
    laid_out, new_ids, questions, sources
):
    expected = [new_ids(laid_out, [q], [s])[0] for q, s in zip(questions, sources, strict=True)]
    seen = {}

    def work(number):
        seen[number] = new_ids(laid_out, [questions[number]], [sources[number]])[0]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [seen[number] for number in range(3)] == expected


class QuantizedLayer(DynamicLayer):
    """Named as transformers names those that need a package of their own."""


@pytest.mark.parametrize("kind", ["offloaded", "quantized"])
def test_a_cache_that_cannot_be_kept_in_step_is_refused(
    laid_out, new_ids, questions, sources, kind
):
    cache = DynamicCache(config=laid_out.base.config)
    if kind == "quantized":
        cache.layers = [QuantizedLayer() for _ in range(4)]
    else:
        cache.offloading = True

    with pytest.raises(RuntimeError, match="quantized and offloaded caches"):
        new_ids(laid_out, questions, sources, past_key_values=cache)

"""Prompts of like length run side by side, and none can tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.batching import cut, padded_tokens

ROWS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 900)), min_size=1, max_size=40)
TALE = "The cat sat in Kolwick and saw the river. "


@given(lengths=ROWS, size=st.integers(1, 9))
def test_every_row_is_in_one_batch_in_the_order_given(lengths, size):
    batches = cut(lengths, size)

    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(batch == sorted(batch) and 0 < len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)
    assert batches == cut(lengths, size)


@given(lengths=ROWS, size=st.integers(1, 9))
def test_never_is_more_padded_than_in_the_order_given(lengths, size):
    rows = list(range(len(lengths)))
    as_given = [rows[first : first + size] for first in range(0, len(rows), size)]

    assert padded_tokens(lengths, cut(lengths, size)) <= padded_tokens(lengths, as_given)


@given(lengths=st.lists(st.integers(0, 900), min_size=1, max_size=40), size=st.integers(1, 9))
@pytest.mark.parametrize("is_knowledge", [False, True])
def test_where_one_length_counts_each_batch_is_longer_than_the_one_before(
    is_knowledge, lengths, size
):
    rows = [(5, length) if is_knowledge else (length, 0) for length in lengths]
    ordered = sorted(lengths)
    least = [
        len(batch) * max(batch)
        for batch in (ordered[first : first + size] for first in range(0, len(rows), size))
    ]

    padded = padded_tokens(rows, cut(rows, size)) - 5 * len(rows) * is_knowledge

    assert padded <= sum(least)


@pytest.fixture
def shapes(base):
    """The shapes of what the base model is given first, batch after batch."""
    seen = []

    def look(_module, _args, kwargs):
        if kwargs["input_ids"].shape[1] > 1:
            seen.append(tuple(kwargs["input_ids"].shape))

    handle = base.register_forward_pre_hook(look, with_kwargs=True)
    yield seen
    handle.remove()


def test_long_prompts_are_no_padding_of_short_ones(model, shapes):
    prompts = ["Who?", TALE * 4] * 3
    singly = [model.generate(prompt, max_new_tokens=5).text for prompt in prompts]
    (_, short), (_, long), *_ = shapes
    shapes.clear()

    answers = model.generate(prompts, max_new_tokens=5, batch_size=3)

    assert shapes == [(3, short), (3, long)]
    assert [answer.text for answer in answers] == singly


def test_so_it_is_where_only_what_encoders_read_differs(model):
    prompts = ["Who?"] * 4
    passages = [[TALE] * 9, ["A cat."], [TALE] * 9, ["A mat."]]
    singly = [model.generate("Who?", own, max_new_tokens=5) for own in passages]

    answers = model.generate(prompts, passages, max_new_tokens=5, batch_size=2)

    assert [a.text for a in answers] == [a.text for a in singly]
    assert [a.sources for a in answers] == [a.sources for a in singly]
    began = [a.usage.total_seconds for a in answers]  # rows of one batch share their times
    assert began[0] == began[2] != began[1] == began[3]


def test_what_is_drawn_is_repeatable_and_in_one_batch_it_is_as_ever(model):
    prompts = ["Who?", TALE, "Why?", TALE, "How?"]
    options = {"temperature": 1.5, "seed": 7, "max_new_tokens": 8}

    def ask(**more):
        return [answer.text for answer in model.generate(prompts, **options, **more)]

    assert ask(batch_size=2) == ask(batch_size=2)
    assert ask() == ask(batch_size=5)
    assert len(set(ask(batch_size=2))) > 3

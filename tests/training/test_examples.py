"""Records become batches that miss none, and that are the same whenever they are asked for."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag import DiekaeConfig
from diekae_rag.data import Record, RecordError
from diekae_rag.training.batches import ANSWER, PASSAGE, QUESTION
from diekae_rag.training.examples import Examples, group_records

CONFIG = DiekaeConfig(passage_attention="independent", max_passage_tokens=64)
WORDS = st.text("abc ", min_size=1, max_size=6).filter(str.strip)
RECORDS = st.lists(
    st.builds(Record, WORDS, WORDS, st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(records=RECORDS, most=st.integers(1, 4))
def test_grouping_loses_no_record_and_mixes_no_passages(records, most):
    episodes = group_records(records, most)

    kept = Counter(
        (tuple(episode.passages), *pair) for episode in episodes for pair in episode.questions
    )
    assert kept == Counter((r.passages, r.prompt, r.answer) for r in records)
    assert all(1 <= len(episode.questions) <= most for episode in episodes)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 9), batch_size=st.integers(1, 4), seed=st.integers(0, 3))
def test_every_epoch_has_every_record_once(tokenizer, count, batch_size, seed):
    records = [Record(f"q{n}", f"a{n}", (f"p{n}",)) for n in range(count)]
    examples = Examples(records, tokenizer, CONFIG, window=512, batch_size=batch_size, seed=seed)

    epochs = [
        [
            examples.episodes[examples._row(epoch * count + place)].questions[0][0]
            for place in range(count)
        ]
        for epoch in range(3)
    ]

    assert all(sorted(epoch) == sorted(r.prompt for r in records) for epoch in epochs)


def test_a_batch_depends_on_its_number_alone(tokenizer):
    records = [Record(f"q{n}", f"a{n}", (f"p{n}",)) for n in range(20)]
    first, second = (
        Examples(records, tokenizer, CONFIG, window=512, batch_size=3) for _ in range(2)
    )
    for number in (9, 0, 4):
        second(number)

    assert torch.equal(
        first(7).injected.questions.input_ids, second(7).injected.questions.input_ids
    )
    assert not torch.equal(first(7).injected.passage_ids, first(8).injected.passage_ids)


def test_passages_are_cut_where_the_window_ends_and_questions_never(tokenizer):
    records = [Record("Who was it?", "Ada", ("word " * 50, "other " * 50))]
    config = DiekaeConfig(max_passage_tokens=400)
    make = {"tokenizer": tokenizer, "config": config, "batch_size": 1, "needs_stuffed": True}

    whole = Examples(records, window=4096, **make)(0)
    cut = Examples(records, window=60, **make)(0)

    assert int(cut.stuffed.position_ids.max()) == 59
    assert whole.stuffed.length > cut.stuffed.length
    for role in (QUESTION, ANSWER):
        kept = cut.stuffed.input_ids[cut.stuffed.roles == role]
        assert torch.equal(kept, whole.stuffed.input_ids[whole.stuffed.roles == role])
    knowledge = cut.stuffed.input_ids[cut.stuffed.roles == PASSAGE]
    assert torch.equal(knowledge, whole.stuffed.input_ids[0, : len(knowledge)])


def test_a_question_that_does_not_fit_the_window_is_named(tokenizer):
    records = [Record("Who?", "Ada"), Record("word " * 50, "Ada")]

    with pytest.raises(RecordError, match=r"record 2: .* 40 positions"):
        Examples(records, tokenizer, CONFIG, window=40)


def test_no_records_are_an_error(tokenizer):
    with pytest.raises(ValueError, match="no records"):
        Examples([], tokenizer, CONFIG, window=40)


def test_what_is_cut_or_left_out_is_counted_in_a_warning(tokenizer):
    config = DiekaeConfig(max_passage_tokens=12, max_passages=2)
    long = "a long passage of many words that go on and on and on"
    records = [Record("q", "a", (long, "b", "c")), Record("q", "a", (long,))]

    with pytest.warns(UserWarning, match="of 2 passages 1 are longer.*and 1 are beyond"):
        Examples(records, tokenizer, config, window=512)


def test_nothing_is_said_where_nothing_is_cut(tokenizer, recwarn):
    Examples([Record("q", "a", ("b" * 40,))], tokenizer, DiekaeConfig(), window=512)

    assert not recwarn.list


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 4))
def test_batches_of_one_length_hold_every_record_once_and_little_padding(
    tokenizer, lengths, batch_size
):
    records = [Record(f"q{n}", "a", (f"{n} " * size,)) for n, size in enumerate(lengths)]
    options = {"window": 4096, "batch_size": batch_size}
    config = DiekaeConfig(max_passage_tokens=512)
    grouped = Examples(records, tokenizer, config, **options)
    mixed = Examples(records, tokenizer, config, group_by_length=False, **options)

    def longest(examples):
        rows = [examples._row(place) for place in range(len(lengths))]
        assert sorted(rows) == list(range(len(lengths)))
        batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return sum(max(lengths[row] for row in batch) * len(batch) for batch in batches)

    assert longest(grouped) <= longest(mixed) + max(lengths) * batch_size

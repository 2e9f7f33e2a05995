"""A packed question reads just what it would read alone."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diekae_rag.demo.batches import ANSWER, PASSAGE, QUESTION, pack_episodes
from diekae_rag.demo.episodes import Episode, random_episode
from diekae_rag.demo.reader import DEMO_WORDING

quick = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@torch.no_grad()
def packed_logits(base, batch):
    return base(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        attention_mask=batch.attention_mask,
        use_cache=False,
    ).logits


def alone(tokenizer, episode, number):
    """The ids of one question read after the passages, and where the question begins."""
    knowledge = [tokenizer.bos_token_id]
    for passage in DEMO_WORDING.tokenize_passages(tokenizer, episode.passages):
        knowledge += passage
    question, answer = episode.questions[number]
    ids = DEMO_WORDING.tokenize_prompts(tokenizer, [question])[0]
    ids = knowledge + ids + DEMO_WORDING.tokenize_answers(tokenizer, [answer])[0]
    return ids, len(knowledge)


@quick
@given(seed=st.integers(0, 2**16), passages=st.integers(0, 2))
def test_a_packed_question_reads_as_alone_after_the_passages(base, tokenizer, seed, passages):
    rng = random.Random(seed)
    episodes = [random_episode(rng, passages, 2, 3), random_episode(rng, 1, 1, 1)]

    batch = pack_episodes(episodes, tokenizer, DEMO_WORDING)
    logits = packed_logits(base, batch)[0]

    at = alone(tokenizer, episodes[0], 0)[1] if episodes[0].questions else 0
    for number in range(len(episodes[0].questions)):
        ids, start = alone(tokenizer, episodes[0], number)
        with torch.no_grad():
            expected = base(input_ids=torch.tensor([ids])).logits[0]
        length = len(ids) - start
        assert batch.input_ids[0, at : at + length].tolist() == ids[start:]
        torch.testing.assert_close(logits[at : at + length], expected[start:], atol=1e-3, rtol=1e-3)
        at += length


def test_roles_say_what_each_token_is(tokenizer):
    episode = Episode(["Ada lives."], [("Who?", "Ada"), ("Where?", "I do not know.")])

    batch = pack_episodes([episode], tokenizer, DEMO_WORDING)

    texts = {
        role: tokenizer.decode(batch.input_ids[0][batch.roles[0] == role])
        for role in (PASSAGE, QUESTION, ANSWER)
    }
    assert texts == {
        PASSAGE: "<s>Imagine that Ada lives.[SEP]",
        QUESTION: "[USR] Who?[SYS][USR] Where?[SYS]",
        ANSWER: " Ada</s> I do not know.</s>",
    }


@pytest.mark.parametrize("length", [200, 256])
def test_a_longer_row_reads_the_same(base, tokenizer, length):
    episodes = [random_episode(random.Random(5), 1, 2, 2)]

    short = pack_episodes(episodes, tokenizer, DEMO_WORDING)
    long = pack_episodes(episodes, tokenizer, DEMO_WORDING, length=length)

    assert long.length == length
    torch.testing.assert_close(
        packed_logits(base, long)[:, : short.length],
        packed_logits(base, short),
        atol=1e-3,
        rtol=1e-3,
    )
    assert (long.roles[:, short.length :] == 0).all()


def test_no_position_looks_ahead_or_at_padding(tokenizer):
    episodes = [random_episode(random.Random(n), 1, 2, 2) for n in range(3)]

    batch = pack_episodes(episodes, tokenizer, DEMO_WORDING)

    mask = batch.attention_mask[:, 0]
    assert not mask.triu(1).any()
    assert mask.any(-1).all()  # an empty softmax would be NaN
    others = mask & ~torch.eye(batch.length, dtype=torch.bool)
    assert not (others & (batch.roles == 0)[:, None, :]).any()

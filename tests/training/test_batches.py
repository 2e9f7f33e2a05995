"""A packed question reads just what it would read alone."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diekae_rag import DiekaeConfig
from diekae_rag.demo.episodes import random_episode
from diekae_rag.demo.reader import DEMO_WORDING
from diekae_rag.training.batches import (
    ANSWER,
    PASSAGE,
    QUESTION,
    START,
    Episode,
    Sizes,
    pack_for_injection,
    pack_stuffed,
)

CONFIG = DiekaeConfig(wording=DEMO_WORDING.to_dict(), passage_attention="independent")
JOINT = DiekaeConfig(wording=DEMO_WORDING.to_dict(), passage_attention="joint")

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

    batch = pack_stuffed(episodes, tokenizer, CONFIG)
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

    batch = pack_stuffed([episode], tokenizer, CONFIG)

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

    short = pack_stuffed(episodes, tokenizer, CONFIG)
    long = pack_stuffed(episodes, tokenizer, CONFIG, length=length)

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

    batch = pack_stuffed(episodes, tokenizer, CONFIG)

    mask = batch.attention_mask[:, 0]
    assert not mask.triu(1).any()
    assert mask.any(-1).all()  # an empty softmax would be NaN
    others = mask & ~torch.eye(batch.length, dtype=torch.bool)
    assert not (others & (batch.roles == 0)[:, None, :]).any()


def test_apart_from_the_passages_a_row_holds_the_same_answers_in_the_same_order(tokenizer):
    episodes = [random_episode(random.Random(n), n, 2, 3) for n in range(3)]

    injected = pack_for_injection(episodes, tokenizer, CONFIG)
    stuffed = pack_stuffed(episodes, tokenizer, CONFIG)

    q = injected.questions
    assert torch.equal(q.input_ids[q.roles == ANSWER], stuffed.input_ids[stuffed.roles == ANSWER])
    assert not (q.roles == PASSAGE).any()
    assert (q.input_ids[q.roles == START] == tokenizer.bos_token_id).all()


def test_encoders_read_each_passage_apart_or_all_in_one(tokenizer):
    episode = Episode(["Ada lives.", "Bob sings."], [("Who?", "Ada")])

    apart = pack_for_injection([episode], tokenizer, CONFIG)
    joint = pack_for_injection([episode], tokenizer, JOINT)

    def texts(batch):
        pairs = zip(batch.passage_ids, batch.passage_mask, strict=True)
        return [tokenizer.decode(ids[mask]) for ids, mask in pairs]

    one, two = "Imagine that Ada lives.[SEP]", "Imagine that Bob sings.[SEP]"
    assert texts(apart) == ["<s>" + one, "<s>" + two]
    assert texts(joint) == ["<s>" + one + two]
    assert apart.rows.tolist() == [[0, 1]]
    assert apart.starts.tolist() == [CONFIG.max_passage_tokens]
    assert joint.starts.tolist() == [int(joint.passage_mask.sum())]


def test_passages_are_cut_where_the_model_would_cut_them(tokenizer):
    config = DiekaeConfig(**{**CONFIG.to_dict(), "max_passages": 2, "max_passage_tokens": 16})
    episode = Episode(["word " * 50, " ", "Bob sings.", "left out"], [("Who?", "Ada")])

    batch = pack_for_injection([episode], tokenizer, config)

    assert batch.passage_mask.sum(1).max() == 16
    assert batch.passage_ids.shape[0] == 2


@pytest.mark.parametrize(
    "sizes", [Sizes(1, 2, 64, 128), Sizes(4, 1, 64, 128), Sizes(4, 2, 4, 128), Sizes(4, 2, 64, 4)]
)
def test_what_does_not_fit_is_an_error(tokenizer, sizes):
    episode = Episode(["Ada lives.", "Bob sings."], [("Who?", "Ada")])

    with pytest.raises(ValueError, match=r"fit|takes"):
        pack_for_injection([episode], tokenizer, CONFIG, sizes)


@pytest.mark.parametrize("config", [CONFIG, JOINT])
def test_more_room_changes_nothing_that_is_read(tokenizer, config):
    episode = Episode(["Ada lives.", "Bob sings."], [("Who?", "Ada")])

    tight = pack_for_injection([episode], tokenizer, config)
    roomy = pack_for_injection([episode], tokenizer, config, Sizes(5, 3, 80, 140))

    assert torch.equal(tight.passage_ids[tight.passage_mask], roomy.passage_ids[roomy.passage_mask])
    assert tight.questions.num_tokens == roomy.questions.num_tokens
    assert tight.rows[tight.rows >= 0].tolist() == roomy.rows[roomy.rows >= 0].tolist()

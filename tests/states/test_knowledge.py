"""Side by side at once or block by block: a row attends to the same states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from diekae_rag.states import KnowledgeApart, PassageStates, gather_knowledge

PROMPTS = ["Where does Ada live?", "What does Ada do?"]
PASSAGES = [["Ada lives in Turin.", "Ada paints."], ["Nobody knows."]]


def padded_states(lengths, seed):
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return PassageStates(*torch.randn(2, 2, len(lengths), 3, max(lengths), 4), mask)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=4),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_block_by_block_is_all_at_once(lengths, rows, room):
    rows = [[number % len(lengths) for number in row] for row in rows]
    rows[0] = rows[0] or [0]
    states = padded_states(lengths, seed=len(rows))
    expected = gather_knowledge(states, rows, [9] * len(rows))

    apart = states.apart()
    knowledge = KnowledgeApart.of([[apart[n] for n in row] for row in rows], [9] * len(rows))
    roomy = knowledge.with_room(room)

    assert torch.equal(knowledge.mask, expected.mask)
    assert torch.equal(knowledge.is_present, expected.is_present)
    count, here = expected.mask.shape[1], expected.mask[:, None, :, None]
    for made in (roomy.blocks(), roomy.joined().blocks()):
        for (keys, values), (their_keys, their_values) in zip(made, expected.blocks(), strict=True):
            assert keys.shape[2] == values.shape[2] == count + room
            assert_close(keys[:, :, :count] * here, their_keys * here, rtol=0, atol=0)
            assert_close(values[:, :, :count] * here, their_values * here, rtol=0, atol=0)
            assert not keys[:, :, count:].any()
            assert not values[:, :, count:].any()


def test_rows_are_repeated_for_their_beams_as_if_all_lay_together():
    apart = padded_states([3, 5], seed=0).apart()
    knowledge = KnowledgeApart.of([[apart[0]], apart], [9, 9], room=2)

    repeated, together = knowledge.expand(6), knowledge.joined().expand(6)

    assert torch.equal(repeated.mask, together.mask)
    assert torch.equal(repeated.starts, together.starts)
    for ours, theirs in zip(repeated.blocks(), together.blocks(), strict=True):
        assert all(map(torch.equal, ours, theirs))
    with pytest.raises(RuntimeError, match="5 rows"):
        knowledge.expand(5)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"prefill_chunk_size": 4}])
@pytest.mark.parametrize("positions", ["prompt", "all"])
def test_either_way_answers_are_the_same(make_model, monkeypatch, options, positions):
    model = make_model(passage_attention="independent", positions=positions)
    expected = model.generate(PROMPTS, PASSAGES, max_new_tokens=6, **options)

    monkeypatch.setattr(KnowledgeApart, "joined", lambda knowledge: knowledge)
    apart = model.generate(PROMPTS, PASSAGES, max_new_tokens=6, **options)

    assert [answer.text for answer in apart] == [answer.text for answer in expected]

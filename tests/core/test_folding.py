"""Looked up in a table or computed: encoders begin with the same, whatever changes meanwhile."""

import pytest
import torch
from torch.testing import assert_close

from diekae_rag.families import input_embeddings
from diekae_rag.folding import FoldedEmbedding

TEXTS = [[1, 5, 9, 7], [1, 300, 2]]


def computed(model, ids):
    return model.encoders.begin(input_embeddings(model.base)(ids))


@pytest.fixture(params=["shared", "separate"])
def reading(request, make_model):
    model = make_model(sharing=request.param, passage_attention="independent")
    return model, FoldedEmbedding(input_embeddings(model.base), model.encoders)


@torch.no_grad()
def test_a_table_gives_what_is_computed_and_comes_once_it_pays(reading):
    model, folded = reading
    ids = torch.arange(200).view(2, 100)
    counts = []

    for _ in range(4):
        assert_close(folded(ids), computed(model, ids), atol=1e-6, rtol=1e-5)
        counts.append(folded.is_folded)

    assert counts == [False, False, True, True]  # 400 rows
    assert torch.equal(folded(ids), folded(ids))


@torch.no_grad()
@pytest.mark.parametrize("which", ["embedding", "projection", "replaced"])
def test_a_weight_that_changes_takes_the_table_with_it(reading, which):
    model, folded = reading
    ids = torch.arange(300)[None]
    folded(ids), folded(ids)
    before = folded(ids)
    body = next(iter(model.encoders.bodies.values()))

    if which == "embedding":
        input_embeddings(model.base).weight[7] += 1
    elif which == "projection":
        body.down.weight[3] += 1
    else:
        body.down.weight = torch.nn.Parameter(body.down.weight * 2)

    assert not torch.equal(folded(ids), before)
    assert_close(folded(ids), computed(model, ids), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_table_is_not_made_of_what_was_cast_for_a_while(reading):
    model, folded = reading
    ids = torch.arange(300)[None]

    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(4):
            folded(ids)

    assert_close(folded(ids), computed(model, ids), atol=1e-6, rtol=1e-5)
    assert folded(ids).dtype == torch.float32


@torch.no_grad()
def test_a_table_that_would_be_too_large_is_not_made(reading, monkeypatch):
    _, folded = reading
    monkeypatch.setattr("diekae_rag.folding._MOST_BYTES", 100)

    for _ in range(5):
        folded(torch.arange(300)[None])

    assert not folded.is_folded


def test_answers_do_not_depend_on_how_much_was_read_before(model):
    passages = ["Ada lives in Turin.", "Bob paints in Oltun."]
    first = model.score("Where does Ada live?", "Turin", passages)

    for number in range(60):
        model.score("Where does Ada live?", "Turin", [f"{passages[0]} {number}"])

    assert_close(model.score("Where does Ada live?", "Turin", passages), first, atol=1e-4, rtol=0)

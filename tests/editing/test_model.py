"""A model with edits: what it answers, and that nothing else changes by a single bit."""

import pytest
import torch

from diekae_rag import DiekaeModel
from diekae_rag.choosing import choose
from diekae_rag.editing import Edits
from diekae_rag.scoring import laid_out

MEANT = ["Where was Drola Brenk born?", "Drola Brenk was born in", "Where is Brenk Mills based?"]
UNMEANT = ["Where was Ilma Bresk born?", "Where is Oltun Mills based?", "Who?"]
PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]


@pytest.fixture
def edited(model, embedder, facts):
    model.edits = Edits(embedder)
    model.edits.add_many(facts)
    return model


@pytest.fixture(scope="module")
def demo():
    return DiekaeModel.from_pretrained("demo")


@torch.no_grad()
def logits(model, prompt, passages=(), mode="none"):
    from diekae_rag.passages import as_passages

    way, request = choose(model, prompt, as_passages(passages), mode, 1, False)
    with laid_out(model, [request], [[5, 6]], way) as inputs:
        return model.base(**inputs).logits


def said(answers):
    return [
        (a.text, a.mode, [p.text for p in a.passages], a.usage.knowledge_tokens) for a in answers
    ]


# --- nothing but what is meant changes


@pytest.mark.parametrize("mode", ["none", "inject", "stuff", "combine"])
@pytest.mark.parametrize("prompt", UNMEANT)
def test_a_prompt_that_means_no_edit_is_read_bit_identically(model, embedder, facts, prompt, mode):
    before = logits(model, prompt, PASSAGES, mode)
    model.edits = Edits(embedder)
    model.edits.add_many(facts)

    assert torch.equal(logits(model, prompt, PASSAGES, mode), before)
    answer = model.generate(prompt, PASSAGES, mode, max_new_tokens=4)
    assert answer.edits == []
    assert [p.text for p in answer.passages] == (PASSAGES if mode != "none" else [])


def test_after_a_rollback_every_prompt_is_read_bit_identically(model, embedder, facts):
    before = [logits(model, prompt) for prompt in MEANT]
    model.edits = Edits(embedder)
    model.edits.add_many(facts)
    assert not any(map(torch.equal, map(lambda p: logits(model, p), MEANT), before))

    model.edits.rollback(0)

    assert all(map(torch.equal, map(lambda p: logits(model, p), MEANT), before))


def test_an_edit_is_read_as_its_passage_would_be(edited, make_model):
    edit = edited.edits.list()[0]
    answer = edited.generate(MEANT[0], mode="none", max_new_tokens=6)
    score = edited.score(MEANT[0], "Kolwick", mode="none")
    edited.edits.clear()

    expected = edited.generate(MEANT[0], [edit.passage], max_new_tokens=6)
    assert answer.edits == [edit]
    assert (answer.text, answer.mode) == (expected.text, "inject")
    assert answer.usage.knowledge_tokens == expected.usage.knowledge_tokens > 0
    assert answer.usage.prompt_tokens == expected.usage.prompt_tokens
    assert score == edited.score(MEANT[0], "Kolwick", [edit.passage])
    assert score != edited.score(MEANT[0], "Kolwick", mode="none")


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine"])
def test_edits_are_read_before_passages_and_go_their_way(edited, mode):
    edit = edited.edits.list()[0]
    answer = edited.generate(MEANT[0], PASSAGES, mode, max_new_tokens=6)
    edited.edits.clear()

    expected = edited.generate(MEANT[0], [edit.passage, *PASSAGES], mode, max_new_tokens=6)
    assert said([answer]) == said([expected])
    assert answer.edits == [edit]


def test_beside_passages_an_edit_weighs_as_if_it_were_there_four_times(edited):
    edit = edited.edits.list()[0].passage
    beside, alone = logits(edited, MEANT[0], PASSAGES, "inject"), logits(edited, MEANT[0])
    edited.edits.clear()

    assert torch.equal(beside, logits(edited, MEANT[0], [*[edit] * 4, *PASSAGES], "inject"))
    assert torch.equal(alone, logits(edited, MEANT[0], [edit], "inject"))
    assert not torch.equal(beside, logits(edited, MEANT[0], [edit, *PASSAGES], "inject"))


def test_with_mode_none_passages_stay_unread(edited):
    answer = edited.generate(MEANT[0], PASSAGES, "none", max_new_tokens=4)

    assert [passage.id for passage in answer.passages] == ["edit-1"]


# --- every way in


def test_every_way_in_tells_the_same_edits(edited):
    prompts = [*MEANT, *UNMEANT]
    options = {"mode": "inject", "max_new_tokens": 5}
    alone = [edited.generate(prompt, **options) for prompt in prompts]
    listed = edited.generate(prompts, **options)
    completed = dict(edited.generate_as_completed(prompts, **options))
    streams = [edited.stream(prompt, **options) for prompt in prompts]
    for stream in streams:
        list(stream)

    expected = [[edit.new for edit in answer.edits] for answer in alone]
    assert expected == [["Kolwick"], ["Kolwick"], ["Oltun"], [], [], []]
    for others in (listed, [completed[n] for n in range(6)], [s.answer for s in streams]):
        assert said(others) == said(alone)
        assert [[edit.new for edit in answer.edits] for answer in others] == expected


def test_an_edit_has_its_share_of_the_attribution(edited):
    answer = edited.generate(MEANT[0], PASSAGES, max_new_tokens=4, attribute=True)

    assert len(answer.attribution) == len(answer.passages) == 3
    assert answer.sources[0]["id"] == "edit-1"
    assert answer.sources[0]["attribution"]["nats"] == answer.attribution[0].nats


def test_no_edits_change_nothing_and_need_no_embedder(model):
    before = [logits(model, prompt) for prompt in MEANT]
    model.edits = Edits("an embedder that is not there")

    assert all(map(torch.equal, map(lambda p: logits(model, p), MEANT), before))
    assert model.edits.fingerprint == ""


def test_an_edit_that_does_not_fit_does_not_speak(make_model, embedder, facts):
    model = make_model(passage_attention="independent", max_passages=1)
    model.edits = Edits(embedder)
    model.edits.add_many(facts)
    both = "Where was Drola Brenk born? Where is Brenk Mills based?"

    answer = model.generate(both, PASSAGES, max_new_tokens=2)

    assert len(model.edits.find(both)) == 2
    assert len(answer.edits) == len(answer.passages) == 1
    assert answer.usage.dropped_passages == 3


# --- with a reader that knows what it reads


def test_the_reader_that_ships_answers_the_edit_and_not_a_neighbour(demo, embedder):
    demo.edits = Edits(embedder)
    question = "Where was Drola Brenk born?"
    before = demo.generate(question, mode="none").text

    demo.edits.add("Drola Brenk", "{} was born in", "Oltun", "Kolwick")
    assert demo.generate(question, mode="none").text == "Kolwick"
    assert demo.generate("Where was Ilma Bresk born?", mode="none").edits == []

    demo.edits.add("Drola Brenk", "{} was born in", "Kolwick", "Turin")
    assert demo.generate(question, mode="none").edits[0].new == "Turin"

    demo.edits.rollback(0)
    assert demo.generate(question, mode="none").text == before


def test_an_edit_outweighs_a_passage_that_says_otherwise(demo, embedder):
    demo.edits = Edits(embedder)
    places = ["Oltun", "Kolwick", "Turin", "Morvane", "Brask", "Vintel", "Sorrow Bay", "Pell"]
    names = ["Drola Brenk", "Ilma Bresk", "Tarn Oslo", "Vera Quill"]
    told = list(zip(names * 2, places, places[1:] + places[:1], strict=True))[:4]
    for name, old, new in told:
        demo.edits.add(name, "{} was born in", old, new)
    answers = demo.generate(
        [f"Where was {name} born?" for name, *_ in told],
        [[f"{name} was born in {old}. {name} works as a clock maker."] for name, old, _ in told],
    )

    assert [answer.text for answer in answers] == [new for *_, new in told]
    demo.edits.clear()

"""Invented worlds: repeatable, answerable only from their documents, and never met in training."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.demo.episodes import random_episode, word_prompt
from diekae_rag.demo.relations import COMMON_QUESTIONS, COMMON_STATEMENTS, KINDS, RELATIONS
from diekae_rag.demo.values import alter_name, invent_name, invent_value, is_test_name
from diekae_rag.demo.worlds import REFUSAL, World, write_document

SEEDS = st.integers(0, 2**32)
quick = settings(max_examples=20, deadline=None)


def invented_words(kind: str, name: str) -> list[str]:
    """The words of a name that were made up, and not taken from a list."""
    words = name.split(" ")
    return {"company": words[:1], "work": words[-1:]}.get(kind, words)


def asked(world: World, question) -> str:
    """What a question asks about, from the wording of its relation."""
    relation = next(r for r in RELATIONS if r.name == question.relation)
    common = [text.replace("{n}", noun) for text in COMMON_QUESTIONS for noun in relation.nouns]
    for wording in sorted([*relation.questions, *common], key=len, reverse=True):
        pattern = re.escape(wording).replace(r"\{s\}", "(.+)")
        if found := re.fullmatch(pattern, question.text):
            return found.group(1)
    raise AssertionError(question)


@quick
@given(seed=SEEDS)
def test_the_same_seed_makes_the_same_world(seed):
    first, second = World(seed, 15), World(seed, 15)

    assert first.documents == second.documents
    assert first.questions(12) == second.questions(12)


@quick
@given(seed=SEEDS)
def test_another_seed_makes_another_world(seed):
    assert World(seed, 5).documents != World(seed + 1, 5).documents


def test_worlds_are_the_same_in_every_process():
    import subprocess
    import sys

    code = (
        "from diekae_rag.demo.worlds import World; "
        "world = World(3, 9); print(world.documents, world.questions(9))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }

    assert len(printed) == 1


def test_asking_leaves_the_world_as_it_was():
    world = World(4, 20)
    before = world.questions(10)
    world.questions(7)

    assert world.questions(10) == before
    assert world.documents == World(4, 20).documents


@quick
@given(seed=SEEDS)
def test_every_document_is_about_one_entity_of_its_own(seed):
    world = World(seed, 40)

    names = [document.name for document in world.documents]
    assert len(set(names)) == len(names) == 40
    for document in world.documents:
        assert document.text.count(document.name) >= len(document.facts) >= 3
        text = document.text.lower()  # a value may begin a sentence
        assert all(value.lower() in text for value in document.facts.values())
        assert {r.name for r in RELATIONS if r.kind == document.kind} > set(document.facts)


@quick
@given(seed=SEEDS, heldout=st.booleans())
def test_an_answer_is_in_its_documents_text_and_a_refusal_in_none(seed, heldout):
    world = World(seed, 30, heldout_wordings=heldout)

    for question in world.questions(40):
        documents = [d for d in world.documents if d.name == asked(world, question)]
        said = {d.facts.get(question.relation) for d in documents} - {None}
        assert said == ({question.answer} if question.is_answerable else set())
        if question.is_answerable:
            assert documents == [world.documents[question.document]]
            assert question.answer.lower() in documents[0].text.lower()
        else:
            assert question.answer == REFUSAL


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("count", [1, 10, 137])
def test_the_share_of_unanswerable_questions_is_what_was_asked_for(share, count):
    questions = World(2, 60).questions(count, unanswerable_share=share)

    unanswerable = sum(not question.is_answerable for question in questions)
    assert unanswerable == int(count * share)


@quick
@given(seed=SEEDS)
def test_the_unanswerable_are_spread_over_the_list(seed):
    questions = World(seed, 60).questions(100, unanswerable_share=0.2)

    for end in range(10, 101, 10):
        assert sum(not question.is_answerable for question in questions[:end]) == end // 5


def test_half_of_the_unanswerable_ask_about_what_has_no_document():
    world = World(9, 300)
    questions = world.questions(400, unanswerable_share=1.0)

    names = {document.name for document in world.documents}
    unknown = sum(asked(world, question) not in names for question in questions)
    assert 140 < unknown < 260


@pytest.mark.parametrize("number", [0, -1])
def test_a_world_without_documents_is_refused(number):
    with pytest.raises(ValueError, match=str(number)):
        World(1, number)


@quick
@given(seed=SEEDS, kind=st.sampled_from([*KINDS, "river"]))
def test_names_for_training_and_for_tests_never_share_a_word(seed, kind):
    rng = random.Random(seed)
    training = [invent_name(rng, kind) for _ in range(60)]
    test = [invent_name(rng, kind, for_test=True) for _ in range(60)]

    words = {
        is_test: {w for n in names for w in invented_words(kind, n)}
        for is_test, names in ((False, training), (True, test))
    }
    assert not words[False] & words[True]
    assert all(is_test_name(word) for word in words[True])
    assert not any(is_test_name(word) for word in words[False])


@quick
@given(seed=SEEDS)
def test_a_test_world_names_nothing_that_training_names(seed):
    rng = random.Random(seed)
    training = " ".join(
        " ".join(episode.passages) + " ".join(q for q, _ in episode.questions)
        for episode in (random_episode(rng, 3, 4, 4) for _ in range(20))
    )
    trained = set(re.findall(r"\w+", training))

    for document in World(seed, 20).documents:
        assert not trained & set(invented_words(document.kind, document.name))


@quick
@given(seed=SEEDS)
def test_the_values_of_a_test_world_are_test_names_too(seed):
    for document in World(seed, 20).documents:
        for relation in (r for r in RELATIONS if r.name in document.facts):
            words = invented_words(relation.value, document.facts[relation.name])
            if relation.value in (*KINDS, "river"):
                assert all(is_test_name(word) for word in words)


def test_there_are_a_dozen_relations_with_several_wordings_each():
    assert len(RELATIONS) >= 12
    assert {relation.kind for relation in RELATIONS} == set(KINDS)
    assert len({(r.kind, r.name) for r in RELATIONS}) == len(RELATIONS)
    for relation in RELATIONS:
        assert len(set(relation.statements)) >= 3
        assert len(set(relation.questions)) >= 3
        assert all("{s}" in text and "{v}" in text for text in relation.statements)
        assert all("{s}" in text and "{v}" not in text for text in relation.questions)


@quick
@given(seed=SEEDS)
def test_wordings_kept_out_of_training_are_only_met_in_held_out_worlds(seed):
    rng = random.Random(seed)
    relation = rng.choice(RELATIONS)
    held = relation.questions[-1].format(s="X")

    trained = {relation.ask(rng, "X") for _ in range(60)}
    heldout = {relation.ask(rng, "X", heldout=True) for _ in range(5)}

    assert held not in trained
    assert heldout == {held}


@pytest.mark.parametrize("relation", RELATIONS, ids=lambda relation: relation.name)
def test_no_wording_of_training_is_one_kept_out_of_it(relation):
    statements = [text.replace("{v}", relation.article + "{v}") for text in COMMON_STATEMENTS]
    for own, common in ((relation.statements, statements), (relation.questions, COMMON_QUESTIONS)):
        shared = {text.replace("{n}", noun) for text in common for noun in relation.nouns}
        trained = shared - {own[-1]} | set(own[:-1])  # that one is left out when drawing
        assert own[-1].lower() not in {text.lower() for text in trained}


@quick
@given(seed=SEEDS)
def test_documents_never_state_a_fact_in_a_wording_kept_out_of_training(seed):
    rng = random.Random(seed)
    for kind in KINDS:
        document = write_document(rng, kind, "Xanadu", 8)
        for relation in (r for r in RELATIONS if r.name in document.facts):
            value = document.facts[relation.name]
            held = relation.statements[-1].format(s="Xanadu", v=value)
            assert held[0].upper() + held[1:] not in document.text


@quick
@given(
    seed=SEEDS,
    passages=st.integers(0, 4),
    facts=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_an_episodes_answers_are_in_its_passages_or_refusals(seed, passages, facts, share):
    episode = random_episode(random.Random(seed), passages, facts, 5, unanswerable=share)

    text = " ".join(episode.passages).lower()
    assert len(episode.passages) == passages
    assert all(answer == REFUSAL or answer.lower() in text for _, answer in episode.questions)
    refusals = [answer == REFUSAL for _, answer in episode.questions]
    if share == 1.0 or not passages:
        assert all(refusals)
    if share == 0.0 and passages:
        assert not any(refusals)


@quick
@given(seed=SEEDS, kind=st.sampled_from([*KINDS, "river"]))
def test_an_altered_name_is_another_of_its_kind_and_none_of_a_test_world(seed, kind):
    rng = random.Random(seed)
    name = invent_name(rng, kind)

    altered = alter_name(rng, kind, name)

    assert altered != name
    assert len(altered.split(" ")) == len(name.split(" "))
    assert not any(is_test_name(word) for word in invented_words(kind, altered))


@quick
@given(seed=SEEDS, question=st.text())
def test_a_chains_wording_keeps_the_question_whole(seed, question):
    assert question in word_prompt(random.Random(seed), question)


@quick
@given(seed=SEEDS)
def test_the_same_chance_makes_the_same_episode(seed):
    first, second = (random_episode(random.Random(seed), 2, 3, 4) for _ in range(2))

    assert first == second


@quick
@given(seed=SEEDS)
def test_years_and_numbers_and_dates_are_digits(seed):
    rng = random.Random(seed)

    assert re.fullmatch(r"1\d{3}|20[01]\d", invent_value(rng, "year"))
    assert re.fullmatch(r"\d{1,3}(,\d{3})*", invent_value(rng, "number"))
    assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ \d{4}", invent_value(rng, "date"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_drawn_twice_still_finds_one_much_like_it(kind):
    name = invent_name(random.Random(5), kind)

    alike = alter_name(random.Random(5), kind, name)  # draws the very same name first

    assert alike != name
    assert alike.count(" ") == name.count(" ")


def relations_asked_for(question: str) -> set[str]:
    """Names of the relations that one of whose wordings the question is."""
    names = set()
    for relation in RELATIONS:
        common = [text.replace("{n}", noun) for text in COMMON_QUESTIONS for noun in relation.nouns]
        for wording in [*relation.questions, *common]:
            if re.fullmatch(re.escape(wording).replace(r"\{s\}", "(.+)"), question):
                names.add(relation.name)
    return names


@pytest.mark.parametrize("seed", range(8))
def test_twins_are_told_apart_by_their_names_alone(seed):
    episode = random_episode(random.Random(seed), 3, 1, 6, unanswerable=0.0, twins=1.0)

    common = set.intersection(*(relations_asked_for(q) for q, _ in episode.questions))
    assert len(episode.passages) == 3
    assert common  # one fact each, and all state the same relation

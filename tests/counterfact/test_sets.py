"""Which facts are edited and asked about, and which prompts an edit speaks for."""

from __future__ import annotations

from diekae_rag.counterfact.facts import Facts
from diekae_rag.counterfact.matching import measure_matching
from diekae_rag.counterfact.relations import relation_names
from diekae_rag.counterfact.table.questions import Questions
from diekae_rag.counterfact.table.sets import NamedSubjects, draw_sets
from diekae_rag.data.sets import EditRecord
from tests.counterfact.conftest import EDIT, LONE_FACTS, TEMPLATES, WordEmbedder


def test_a_smaller_set_begins_a_larger_one_and_held_out_edits_come_first(sets):
    assert sets.edits[: sets.num_held_out] == tuple(e for e in sets.edits if e in LONE_FACTS.valid)
    assert len(sets.edits) == 30
    assert sets.of(10, 9) == [sets.edits[:10], sets.edits[10:20]]
    assert sets.of(30, 9) == [sets.edits]
    assert draw_sets(LONE_FACTS, most=12).edits == sets.edits[:12]


def test_sets_of_another_seed_are_others(sets):
    assert draw_sets(LONE_FACTS, most=30, seed=1).edits != sets.edits


def test_nothing_unrelated_and_no_example_is_about_an_edited_subject(sets):
    named = NamedSubjects(sets.edits)
    prompts = [*sets.unrelated, *(example["prompt"] for example in sets.examples)]

    assert sets.unrelated
    assert sets.examples
    assert not [prompt for prompt in prompts if named.in_prompt(prompt)]
    assert not set(sets.unrelated) & {example["prompt"] for example in sets.examples}


def test_a_fact_is_edited_once_however_it_is_worded():
    again = EditRecord(EDIT.subject, f"As for {EDIT.subject}, home is", EDIT.target_true, "Rome")
    twice = Facts(LONE_FACTS.train, (EDIT, again))

    drawn = [edit for edit in draw_sets(twice, most=30).edits if edit.subject == EDIT.subject]

    assert len(drawn) == 1


def test_templates_are_of_one_relation_where_neighbours_say_so():
    def edit(number, template, neighbour):
        name = f"Ada{number}"
        said = template.replace("{}", name)
        return EditRecord(
            name, said, "Bern", "Oslo", (), (neighbour.replace("{}", f"Eva{number}"),)
        )

    one, same, other = TEMPLATES
    edits = [edit(n, one, same) for n in range(5)] + [edit(n, other, other) for n in range(5, 9)]
    names = relation_names(Facts((*edits, edit(9, same, same)), ()))

    assert names[one] == names[same] != names[other]


def test_each_edit_is_asked_by_all_its_prompts(sets):
    asked = Questions(sets).about([EDIT])

    assert [(q.kind, q.prompt) for q in asked] == [
        ("efficacy", EDIT.prompt),
        ("paraphrase", EDIT.paraphrase_prompts[0]),
        ("neighbourhood", EDIT.neighborhood_prompts[0]),
    ]
    assert [(q.wanted, q.other) for q in asked[1:]] == [
        (EDIT.target_new, EDIT.target_true),
        (EDIT.target_true, EDIT.target_new),
    ]


def test_a_neighbour_that_an_edit_changes_is_not_asked():
    other = EditRecord("Bo", "Bo lives in", EDIT.target_true, "Rome")
    beside = EditRecord(
        EDIT.subject, EDIT.prompt, EDIT.target_true, EDIT.target_new, (), ("The home of Bo is",)
    )
    sets = draw_sets(Facts(LONE_FACTS.train, (beside, other)), most=30)

    asked = Questions(sets).about([beside])

    assert [question.kind for question in asked] == ["efficacy"]


def test_an_edit_speaks_for_its_own_prompt_and_not_for_unrelated_ones(sets):
    report = measure_matching(sets, WordEmbedder(), [10, 30], num_asked=10)

    for counts in report.values():
        assert [shares["own prompt"] for shares in counts.values()] == [1.0, 1.0]
        assert [shares["unrelated"] for shares in counts.values()] == [0.0, 0.0]

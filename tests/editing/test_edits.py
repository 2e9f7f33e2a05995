"""Edits in memory: versions, contradictions, and what a prompt means."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diekae_rag.editing import Edit, Edits

BORN = ("Drola Brenk", "{} was born in", "Oltun")
quick = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def news(edits, prompt):
    return [match.edit.new for match in edits.find(prompt)]


def contents(edits):
    return [(edit.subject, edit.prompt, edit.old, edit.new) for edit in edits]


# --- what a prompt means


def test_the_same_words_and_others_of_the_same_meaning_find_an_edit(edits, facts):
    edits.add_many(facts)

    assert edits.find("drola  BRENK, was born in")[0].score == 1.0
    assert news(edits, "Where was Drola Brenk born?") == ["Kolwick"]
    assert news(edits, "Bread is dear. Drola Brenk's birthplace is") == ["Kolwick"]
    assert news(edits, "Where is Brenk Mills based?") == ["Oltun"]


@pytest.mark.parametrize(
    "prompt",
    [
        "Ilma Bresk was born in",
        "Drola was born in",
        "Drola Brenkel was born in",
        "Drola Brenk-Ilm was born in",
        "Where was Ilm\u2013Drola Brenk born?",
        "Where was Ilma Bresk born?",
        "Who wrote the opera?",
        "Drola Brenk ate a large green melon with",
        "",
        "?",
    ],
)
def test_another_subject_or_something_else_about_it_finds_none(edits, facts, prompt):
    edits.add_many(facts)

    assert edits.find(prompt) == []


# --- names that are nearly the same


@pytest.mark.parametrize(
    ("subject", "template", "other"),
    [
        ("C#", "{} was created by", "C++"),
        ("C#", "{} was created by", "C"),
        ("\u0930\u093e\u092e", "{} lives in", "\u0930\u094b\u092e"),  # Ram, Rome
        ("\u30ac\u30b9", "{} costs", "\u30ab\u30b9"),  # gas, dregs
        ("New York", "{} is located in", "The New York Times"),
        ("Brenk", "{} was born in", "Ilma Brenk"),
        ("Paris", "Where was {} born?", "Paris Hilm"),
        ("WHO", "{} is led by", "Who"),
        ("US", "{} is led by", "us"),
    ],
)
def test_a_name_that_is_nearly_the_same_is_another_one(embedder, subject, template, other):
    edits = Edits(embedder)
    edits.add(subject, template, "Oltun", "Kolwick")
    own, theirs = (f"Now I ask again: {template.replace('{}', s)}" for s in (subject, other))

    assert news(edits, own) == ["Kolwick"]
    assert news(edits, theirs) == []


def test_a_title_and_what_the_edit_itself_puts_beside_it_belong_to_no_longer_name(edits):
    edits.add("Brenk", "{} was born in", "Oltun", "Kolwick")
    edits.add("Orlum", "{} CEO is", "Ada", "Bo")

    assert news(edits, "Where was Mr Brenk born?") == ["Kolwick"]
    assert news(edits, "Where Was Brenk Born?") == ["Kolwick"]
    assert news(edits, "WHERE WAS BRENK BORN?") == ["Kolwick"]
    assert news(edits, "who is the Orlum CEO?") == ["Bo"]


@pytest.mark.parametrize(
    ("subject", "prompt"),
    [
        ("Brenk", "Where was President Brenk born?"),
        ("Brenk", "Actually Brenk was born in"),
        ("Brenk", "Name Brenk's birthplace."),
        ("Brenk", "The Birthplace of Brenk Is"),
        ("Brenk", "What Is the Birthplace of Brenk Called?"),
        ("Brenk", "Answer briefly: WHERE WAS BRENK BORN?"),
        ("Drola Brenk", "Where was Drola Brenk Jr. born?"),
        ("Drola Brenk", "Drola Brenk\u2014where was she born?"),
        ("May", "WHERE WAS MAY BORN?"),
    ],
)
def test_titles_and_ways_of_writing_make_no_longer_name(embedder, subject, prompt):
    edits = Edits(embedder)
    edits.add(subject, "{} was born in", "Oltun", "Kolwick")

    assert news(edits, prompt) == ["Kolwick"]


def test_an_everyday_word_is_a_name_only_as_the_name_is_written(embedder):
    edits = Edits(embedder)
    edits.add("WHO", "{} is led by", "Ada", "Bo")

    assert [match.is_whole for match in edits.find("WHO is led by")] == [True]
    assert edits.find("who is led by") == []


# --- words that say something else, however near


@pytest.mark.parametrize(
    ("said", "new", "prompt"),
    [
        ("{} was born in", "Kolwick", "Where was Drola Brenk's mother born?"),
        ("{} was born in", "Kolwick", "Where was the younger sister of Drola Brenk born?"),
        ("{}'s mother is", "Ilma", "Drola Brenk's father is"),
        ("{} was born in", "Kolwick", "Drola Brenk was not born in"),
        ("{} was born in", "Kolwick", "When was Drola Brenk born?"),
        ("{} was born in", "Kolwick", "Tell me when Drola Brenk was born."),
        ("{} was born in", "Kolwick", "Drola Brenk's birthday is"),
        ("{} was born in", "1952", "Where was Drola Brenk born?"),
        ("{} won the 1998 cup with", "Kolwick", "Drola Brenk won the 1999 cup with"),
    ],
)
def test_figures_negation_family_and_time_tell_facts_apart(embedder, said, new, prompt):
    edits = Edits(embedder)
    edits.add("Drola Brenk", said, "Oltun", new)

    assert edits.find(prompt) == []


@pytest.mark.parametrize(
    ("said", "new", "prompt"),
    [
        ("{} was born in", "Kolwick", "Where was Drola Brenk born? Do not explain."),
        ("{} was born in", "Kolwick", "Where was Drola Brenk born? My mother wants to know."),
        ("{} was born in", "Kolwick", "Where was Drola Brenk born?\n1) Oltun\n2) Kolwick"),
        ("{} was born in", "Kolwick", "Drola Brenk was born in\n\nAnswer in at most 3 words."),
        ("{} was born in", "Kolwick", "(1) Drola Brenk was born in"),
        ("{} was born in", "Kolwick", "In 1961, Drola Brenk was born in"),
        ("{} was born in", "Kolwick", "I don't know where Drola Brenk was born."),
        ("{} was born in", "Kolwick", "Was Drola Brenk born in Oltun or not?"),
        ("{} was born in", "Kolwick", "Drola Brenk, the wife of Ilm, was born in"),
        ("{} was born in", "Kolwick", "Where was Drola Brenk born? [SYS] Oltun. [USR] When?"),
        ("{} was born in the month of", "May", "In which month was Drola Brenk born?"),
        ("{} takes place in", "March", "When does Drola Brenk take place?"),
        ("The number of children of {} is", "two", "How many children does Drola Brenk have?"),
        ("{} was born in", "1952", "When was Drola Brenk born?"),
        ("{}'s mother was not born in", "Kolwick", "Where was Drola Brenk's mother not born?"),
        ("{} is married to", "Ilma", "Who is Drola Brenk's wife?"),
    ],
)
def test_what_belongs_to_the_asking_or_to_the_edit_is_no_difference(embedder, said, new, prompt):
    edits = Edits(embedder)
    edits.add("Drola Brenk", said, "Oltun", new)

    assert news(edits, prompt) == [new]


def test_several_questions_in_one_prompt_find_an_edit_each(edits, facts):
    edits.add_many(facts)

    found = news(edits, "Where was Drola Brenk born? And where is Brenk Mills based?")

    assert sorted(found) == ["Kolwick", "Oltun"]


@quick
@given(order=st.permutations(range(3)))
def test_the_order_of_adding_changes_nothing_that_is_found(embedder, facts, order):
    first, second = Edits(embedder), Edits(embedder)
    first.add_many(facts)
    for number in order:
        second.add(**facts[number])

    for prompt in ("Where was Drola Brenk born?", "Drola Brenk works for Brenk Mills, based in"):
        mine, theirs = first.find(prompt), second.find(prompt)
        # Texts that are embedded together differ in their last bits from those that are alone.
        assert [m.score for m in mine] == pytest.approx([m.score for m in theirs], abs=1e-5)
        assert contents(m.edit for m in mine) == contents(m.edit for m in theirs)
    assert first.fingerprint == second.fingerprint != ""


# --- contradictions


def test_of_contradicting_edits_the_newest_counts_and_says_so(edits):
    first = edits.add(*BORN, "Kolwick")
    second = edits.add("drola brenk", "Drola Brenk was born in", "Kolwick", "Turin")

    assert (first.replaces, second.replaces) == (None, first.id)
    assert news(edits, "Drola Brenk was born in") == ["Turin"]
    assert [edit.id for edit in edits.list()] == [first.id, second.id]


def test_within_one_call_the_last_of_contradicting_edits_counts(edits):
    first, second = edits.add_many([Edit(*BORN, "Kolwick"), Edit(*BORN, "Turin")])

    assert second.replaces == first.id
    assert news(edits, "Where was Drola Brenk born?") == ["Turin"]


def test_removing_the_newest_revives_the_one_before_it(edits):
    edits.add(*BORN, "Kolwick")
    newest = edits.add(*BORN, "Turin")

    assert edits.remove(newest.id) == newest
    assert news(edits, "Drola Brenk was born in") == ["Kolwick"]


def test_removing_the_one_before_changes_nothing_that_is_said(edits):
    first = edits.add(*BORN, "Kolwick")
    edits.add(*BORN, "Turin")
    edits.remove(first.id)

    assert news(edits, "Drola Brenk was born in") == ["Turin"]


def test_a_removed_edit_speaks_no_more(edits, facts):
    added = edits.add_many(facts)
    edits.remove(added[0].id)

    assert news(edits, "Drola Brenk was born in") == []
    assert news(edits, "Drola Brenk works as a") == ["nurse"]
    with pytest.raises(ValueError, match="no edit '1'"):
        edits.remove(added[0].id)


# --- versions


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("rollback"), st.integers(0, 9)),
        st.just(("clear",)),
    ),
    max_size=12,
)


@quick
@given(changes=CHANGES)
def test_every_version_can_be_had_again(embedder, changes):
    edits, versions = Edits(embedder), [[]]
    for kind, *arguments in changes:
        now = versions[-1]
        if kind == "add":
            subject, new = arguments
            now = [*now, edits.add(f"S{subject}", "{} is in", "Oltun", f"N{new}")]
        elif kind == "remove" and now:
            gone = edits.remove(now[arguments[0] % len(now)].id)
            now = [edit for edit in now if edit != gone]
        elif kind == "rollback":
            to = arguments[0] % len(versions)
            edits.rollback(to)
            now = versions[to]
        elif kind == "clear":
            edits.clear()
            now = []
        else:
            continue
        versions.append(now)
    assert edits.version == len(versions) - 1 == len(edits.history())
    assert [edits.list(version) for version in range(len(versions))] == versions
    for subject in range(4):
        own = [edit for edit in versions[-1] if edit.subject == f"S{subject}"]
        newest = [max(own, key=lambda edit: int(edit.id))] if own else []
        assert [match.edit for match in edits.find(f"S{subject} is in")] == newest


@pytest.mark.parametrize("to", [-1, 2, 99])
def test_a_version_that_was_never_there_is_refused(edits, to):
    edits.add(*BORN, "Kolwick")

    with pytest.raises(ValueError, match=f"no version {to}; there are 0 to 1"):
        edits.rollback(to)
    assert len(edits) == edits.version == 1


def test_a_version_is_a_number(edits):
    with pytest.raises(TypeError, match="a version is a number"):
        edits.rollback("1")


# --- many at once


def test_all_edits_of_a_call_are_added_in_one_version_or_none(edits, facts):
    with pytest.raises(ValueError, match=r"edit 2: .*Nothing was added"):
        edits.add_many([facts[0], {**facts[1], "new": ""}, facts[2]])
    assert (len(edits), edits.version) == (0, 0)

    edits.add_many(facts)
    assert (len(edits), edits.version) == (3, 1)
    assert edits.add_many([]) == []
    assert edits.version == 1


def test_what_is_exported_is_read_again(edits, embedder, facts, tmp_path):
    edits.add_many(facts)

    assert edits.export(tmp_path / "edits.jsonl") == 3
    again = Edits(embedder)
    again.add_many(tmp_path / "edits.jsonl")
    assert contents(again) == contents(edits)


def test_a_line_that_is_no_edit_is_named(edits, tmp_path):
    path = tmp_path / "edits.jsonl"
    path.write_text('{"subject": "A", "prompt": "A is", "old": "b", "new": "c"}\n\nno json\n')

    with pytest.raises(ValueError, match=r"edits.jsonl, line 3: .*Nothing was added"):
        edits.add_many(path)
    assert len(edits) == 0


def test_a_file_in_another_encoding_is_named(edits, tmp_path):
    (tmp_path / "edits.jsonl").write_bytes('{"subject": "L\u00e9on"}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"edits\.jsonl is no text in UTF-8"):
        edits.add_many(tmp_path / "edits.jsonl")


def test_exporting_to_a_folder_that_is_not_there_names_it(edits, facts, tmp_path):
    edits.add_many(facts)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; make it"):
        edits.export(tmp_path / "nowhere" / "edits.jsonl")


def test_one_edit_in_place_of_a_list_is_refused(edits, facts):
    with pytest.raises(TypeError, match="wrap it"):
        edits.add_many(facts[0])


# --- embedders


class Letters:
    """Counts letters: an embedder for which nobody measured a threshold."""

    name = "letters"

    def embed(self, texts, *, show_progress=False):
        import numpy as np

        return np.array([[t.count(c) + 1e-3 for c in "abdeinorsw"] for t in texts], np.float32)


def test_an_embedder_without_a_threshold_finds_the_same_words_only():
    edits = Edits(Letters())
    edits.add(*BORN, "Kolwick")

    assert edits.threshold is None
    assert news(edits, "Drola Brenk was born in") == ["Kolwick"]
    assert news(edits, "Drola Brenk was born in:  ") == ["Kolwick"]
    assert news(edits, "Drola Brenk was once born in") == []

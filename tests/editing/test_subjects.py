"""Subjects and clauses: what a prompt speaks of."""

from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.editing.sentences import Sentences
from diekae_rag.editing.subjects import SubjectTable
from diekae_rag.editing.words import masked, plain_words, read_words

FEW_WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple)


def table_of(subjects):
    table = SubjectTable()
    for subject in subjects:
        table.add(subject)
    return table


def contained(run, others):
    return any(a <= run[0] and run[1] <= b for a, b in others if (a, b) != run)


@given(st.lists(FEW_WORDS, max_size=6), st.lists(st.sampled_from("abcd"), max_size=12))
def test_a_text_names_the_runs_that_are_subjects_and_inside_no_longer_one(subjects, text):
    runs = [
        (first, end)
        for first in range(len(text))
        for end in range(first + 1, len(text) + 1)
        if tuple(text[first:end]) in subjects
    ]
    expected = {}
    for run in runs:
        if not contained(run, runs):
            expected.setdefault(tuple(text[slice(*run)]), []).append(run)

    assert table_of(subjects).find(text) == expected


@given(st.lists(FEW_WORDS, max_size=6), st.lists(FEW_WORDS, max_size=6))
def test_what_was_taken_out_is_as_if_it_had_never_been_there(kept, removed):
    table = table_of(kept + removed)
    for subject in removed:
        table.remove(subject)

    text = [word for subject in kept + removed for word in subject]
    assert table.find(text) == table_of(kept).find(text)
    assert len(table) == len(set(kept))


@given(st.text(max_size=60))
def test_any_text_has_words_whose_places_are_in_it(text):
    composed, words = read_words(text)

    assert all(composed[word.start : word.end].strip() for word in words)
    assert plain_words(composed) == tuple(word.text for word in words)


def only_clause(text, subject):
    composed, words = read_words(text)
    places = table_of([plain_words(subject)]).find([w.text for w in words])[plain_words(subject)]
    found = Sentences(composed, words).clauses(places)
    return [masked(composed, words, places, clause) for clause in found]


def test_a_sentence_before_is_left_out_and_one_after_is_not():
    text = "Vitamins help. What does Ada Brenk play? They play"

    assert only_clause(text, "Ada Brenk") == ["What does X play? They play"]


def test_every_sentence_that_names_the_subject_is_a_clause():
    text = "Where was Ada born?\nHello. What is Ada's job?"

    assert only_clause(text, "Ada") == ["Where was X born? Hello.", "What is X's job?"]


def test_an_abbreviation_ends_no_sentence_that_goes_on():
    assert only_clause("In the U.S. state of Utah they", "Utah") == ["In the U.S. state of X they"]


def test_words_without_spaces_between_them_are_found():
    (said,) = only_clause("\u6771\u4eac\u306e\u9996\u90fd", "\u6771\u4eac")

    assert said == "X\u306e\u9996\u90fd"


def test_marks_that_a_script_can_do_without_are_passed_over_and_vowels_are_not():
    assert plain_words("L\u00e9on \u05de\u05b9\u05e9\u05c1\u05d4") == plain_words(
        "leon \u05de\u05e9\u05d4"
    )
    assert plain_words("\u0930\u093e\u092e") != plain_words("\u0930\u094b\u092e")
    assert len(plain_words("\u0930\u093e\u092e")) == 1

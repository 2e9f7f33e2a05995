"""An edit: what is one, and what is refused with what to do."""

import pytest

from diekae_rag.data.sets import EditRecord
from diekae_rag.editing import Edit, as_edit

GIVEN = {"subject": "Ada", "prompt": "{} lives in", "old": "Rome", "new": "Turin"}
EXPECTED = Edit("Ada", "Ada lives in", "Rome", "Turin")


@pytest.mark.parametrize(
    "item",
    [
        EXPECTED,
        Edit("Ada", "Ada lives in", "Rome", "Turin", id="7", replaces="3"),
        GIVEN,
        {"subject": "Ada", "prompt": "Ada lives in", "target_true": "Rome", "target_new": "Turin"},
        {
            "case_id": 3,
            "requested_rewrite": {
                "subject": "Ada",
                "prompt": "{} lives in",
                "target_true": {"str": "Rome", "id": "Q1"},
                "target_new": {"str": "Turin", "id": "Q2"},
            },
            "paraphrase_prompts": ["Ada's home is"],
        },
        EditRecord("Ada", "Ada lives in", "Rome", "Turin", ("Ada's home is",)),
    ],
)
def test_an_edit_is_read_from_what_users_have(item):
    assert as_edit(item) == EXPECTED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "Ilma lives in"}, "does not name the subject 'Ada'; .*put {} in its place"),
        ({"prompt": "Adam lives in"}, "does not name the subject"),
        ({"new": "Rome"}, "changes nothing: old and new are both 'Rome'"),
        ({"new": " Rome "}, "changes nothing"),
        ({"new": " "}, "an edit's new is empty"),
        ({"old": ""}, "an edit's old is empty"),
        ({"subject": ""}, "an edit's subject is empty"),
        ({"prompt": "\n"}, "an edit's prompt is empty"),
        ({"subject": "?!", "prompt": "?! is"}, "no letter or digit"),
        ({"new": None}, r"an edit needs 'new' \(or 'target_new'\)"),
    ],
)
def test_what_is_no_edit_is_a_value_error_that_says_what_to_do(change, message):
    with pytest.raises(ValueError, match=message):
        as_edit({**GIVEN, **change})


@pytest.mark.parametrize("item", ["Ada lives in Turin.", ["Ada"], 7, {**GIVEN, "new": 7}])
def test_what_cannot_be_read_is_refused(item):
    with pytest.raises((TypeError, ValueError), match="edit"):
        as_edit(item)


def test_the_passage_states_the_new_fact_and_what_it_is_about():
    passage = Edit("Ada", "Where does {} live? In", "Rome", "Turin", id="4").passage

    assert passage.text == "Where does Ada live? In Turin."
    assert passage.id == "edit-4"
    assert passage.metadata["old"] == "Rome"


def test_a_new_target_that_ends_a_sentence_is_not_ended_again():
    assert Edit("Ada", "{} says", "No.", "Yes!").passage.text == "Ada says Yes!"


def test_case_accents_and_punctuation_do_not_make_another_fact():
    first = Edit("L\u00e9on Blum", "{} was born in", "Rome", "Turin")
    second = Edit("leon  blum", "LE\u0301ON BLUM, was born in:", "Rome", "Turin")

    assert first.key == second.key
    assert first.key != Edit("L\u00e9on Blum", "{} died in", "Rome", "Turin").key


def test_braces_mean_themselves_where_the_prompt_names_its_subject():
    edit = Edit("Python", "In Python the literal {} is a", "list", "dict")

    assert edit.prompt == "In Python the literal {} is a"
    assert Edit(edit.subject, edit.prompt, edit.old, edit.new) == edit


def test_a_word_that_is_the_subject_by_chance_leaves_braces_their_meaning():
    edit = Edit("Us", "{} was shown to us by", "Ada", "Bo")

    assert edit.prompt == "Us was shown to us by"


def test_braces_in_a_subject_are_refused():
    with pytest.raises(ValueError, match="stands for one"):
        Edit("Foo {} Bar", "{} was made by", "Ada", "Bo")

"""Known flaws of the public sets: what is left out, that it is said, and how to keep it."""

from __future__ import annotations

import json
import warnings
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.data.sets import load_set
from diekae_rag.data.sets.dialogues import history, stands_in

FILM = {"0": {"movieName": "The Owl"}, "1": "a", "2": "b", "3": "c", "wikiDocumentIdx": 1}


def conversation(*texts):
    turns = [{"docIdx": 0, "uid": f"user{n % 2 + 1}", "text": text} for n, text in enumerate(texts)]
    return {
        "status": 1,
        "rating": 3,
        "whoSawDoc": ["user2"],
        "wikiDocumentIdx": 1,
        "history": turns,
    }


@pytest.fixture
def cmu_dog(tmp_path):
    """Writes an archive; each split has conversations, each a list of alternating turns."""

    def write(**splits):
        path = tmp_path / "master.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/WikiData/The_Owl.json", json.dumps(FILM))
            for split, conversations in splits.items():
                for number, texts in enumerate(conversations):
                    name = f"x/Conversations/{split}/{split}{number}.json"
                    archive.writestr(name, json.dumps(conversation(*texts)))
        return path

    return write


def pairs(records):
    return [(record.prompt, record.answer) for record in records]


ONE = ("Hello", "Hi", "Seen it?", "Twice", "And?", "Superb")
TWO = ("Hello", "Hi", "Who plays?", "Ann Bee", "Is she good?", "Very")


def test_a_conversation_of_the_test_split_stays_out_of_train(cmu_dog):
    path = cmu_dog(train=[ONE, TWO[2:]], valid=[("a", "b")], test=[ONE])

    with pytest.warns(UserWarning, match="cmu_dog, train: 3 of 5 left out: 3 also in valid or"):
        records = load_set("cmu_dog", "train", source=path)

    assert [answer for _, answer in pairs(records)] == ["Ann Bee", "Very"]


def test_a_conversation_of_the_valid_split_stays_out_of_train_and_one_of_test_out_of_valid(cmu_dog):
    path = cmu_dog(train=[ONE, ("a", "b")], valid=[ONE, TWO], test=[TWO])

    with pytest.warns(UserWarning, match="left out"):
        train, valid = (load_set("cmu_dog", s, source=path) for s in ("train", "valid"))

    assert [answer for _, answer in pairs(train)] == ["b"]
    assert [answer for _, answer in pairs(valid)] == ["Twice", "Superb"]


def test_a_conversation_that_is_longer_in_train_stays_out_whole(cmu_dog):
    path = cmu_dog(train=[(*ONE, "Bye", "See you"), ("a", "b")], test=[ONE])

    with pytest.warns(UserWarning, match="4 of 5 left out"):
        records = load_set("cmu_dog", "train", source=path)

    assert [answer for _, answer in pairs(records)] == ["b"]


CHATS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=2, max_size=6), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None)
@given(train=CHATS, valid=CHATS, test=CHATS)
def test_no_pair_is_in_two_splits(tmp_path_factory, train, valid, test):
    path = tmp_path_factory.mktemp("sets") / "master.zip"
    unseen = ("u", "v")  # so that something is left
    splits = {"train": [*train, unseen], "valid": [*valid, unseen], "test": test}
    splits["train"].append(("w", "x"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/WikiData/The_Owl.json", json.dumps(FILM))
        for split, conversations in splits.items():
            for n, texts in enumerate(conversations):
                archive.writestr(
                    f"x/Conversations/{split}/{n}.json", json.dumps(conversation(*texts))
                )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = [set(pairs(load_set("cmu_dog", split, source=path))) for split in splits]

    assert not loaded[0] & loaded[1]
    assert not loaded[0] & loaded[2]
    assert not loaded[1] & loaded[2]


def test_the_split_as_published_is_had_by_keeping_its_flaws(cmu_dog, recwarn):
    path = cmu_dog(train=[ONE, TWO], test=[ONE])

    records = load_set("cmu_dog", "train", source=path, keep_flaws=True)

    assert len(records) == 6
    assert not recwarn.list


def curiosity(path, *messages):
    def facts(who):
        return [{"fid": 1, "used": True}] if who == "assistant" else []

    rows = [{"sender": who, "message": text, "facts": facts(who)} for who, text in messages]
    linked = {"1": {"text": "The iron bridge of Elm opened in 1911."}}
    (path / "curiosity_dialogs.train.json").write_text(
        json.dumps({"dialogs": [{"messages": rows}]})
    )
    (path / "fact_db_links.json").write_text(json.dumps({"linked_facts": linked}))
    return path


def test_an_answer_that_copies_a_passage_stays_out_and_is_counted(tmp_path):
    source = curiosity(
        tmp_path,
        ("user", "When?"),
        ("assistant", "the iron bridge of elm opened in 1911!"),
        ("user", "Is it old?"),
        ("assistant", "It has stood since 1911."),
    )

    with pytest.warns(UserWarning, match="1 of 2 left out: 1 whose answer stands in a passage"):
        records = load_set("curiosity", "train", source=source)

    assert [record.answer for record in records] == ["It has stood since 1911."]
    assert "opened in 1911!" in records[0].prompt
    assert len(load_set("curiosity", "train", source=source, keep_flaws=True)) == 2


def test_a_blank_answer_stays_out_and_is_counted(tmp_path):
    source = curiosity(tmp_path, ("assistant", " "), ("user", "Yes?"), ("assistant", "Hello."))

    with pytest.warns(UserWarning, match="1 of 2 left out: 1 with a blank prompt or answer"):
        records = load_set("curiosity", "train", source=source)

    assert pairs(records) == [("[USR] Yes? [SYS]", "Hello.")]


def test_a_question_for_which_nothing_was_found_stays_out_and_is_counted(tmp_path):
    questions = ({"uid": uid, "question": "q", "answer": "a"} for uid in ("1", "2", "3"))
    contexts = ({"uid": "1", "contexts": [[1.0, "c"]]}, {"uid": "2", "contexts": []})
    for name, rows in (("questions", questions), ("contexts", contexts)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"train_{name}.json.gz").write_text(text)

    with pytest.warns(UserWarning, match="2 of 3 left out: 2 for which nothing was found"):
        records = load_set("quasar_t", "train", source=tmp_path)

    assert len(records) == 1


@pytest.mark.parametrize(
    ("answer", "passages", "expected"),
    [
        ("It opened in 1911.", ["Elm: it  opened in 1911, they say."], True),
        ("It opened in 1911.", ["x", "IT OPENED IN 1911"], True),
        ("It opened in 191", ["It opened in 1911"], False),
        ("It opened", ["It opened in 1911"], False),
        ("In 1911 it opened", ["It opened in 1911"], False),
        ("It opened in 1911.", [], False),
    ],
)
def test_an_answer_stands_in_a_passage_by_whole_words_in_order(answer, passages, expected):
    assert stands_in(answer, passages) is expected


def test_a_history_says_nothing_for_blank_turns():
    assert history([("a", "x"), ("a", ""), ("b", "y")], "a") == "[SYS] x [USR] y [SYS]"

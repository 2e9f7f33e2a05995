"""Each public set, in the form it is published in, becomes the records of the paper."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import pytest

from diekae_rag.data import Record, read_records
from diekae_rag.data.sets import SETS, EditRecord, load_edits, load_set

CONVERSATION = {
    "status": 1,
    "rating": 3,
    "whoSawDoc": ["user2"],
    "wikiDocumentIdx": 7,
    "history": [
        {"docIdx": 0, "uid": "user1", "text": "Which film\nis it?"},
        {"docIdx": 0, "uid": "user2", "text": "The Owl, with Ann Bee. "},
        {"docIdx": 0, "uid": "user2", "text": "It is new."},
        {"docIdx": 1, "uid": "user1", "text": "What happens?"},
        {"docIdx": 1, "uid": "user2", "text": "An owl leaves town."},
    ],
}
FILM = {
    "0": {"cast": ["Ann Bee as Owl", "Cy Dee as Cat"], "movieName": "The Owl", "year": "1999"},
    "1": "An owl leaves.",
    "2": "It rains.",
    "3": "It is back.",
    "wikiDocumentIdx": 7,
}
INTRODUCTION = ("cast: Ann Bee as Owl | Cy Dee as Cat", "movieName: The Owl", "year: 1999")


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return path


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def cmu_dog(path, **splits):
    root = "datasets-CMU_DoG-master"
    files = {f"{root}/README.md": "x", f"{root}/WikiData/The_Owl.json": FILM}
    for split, conversations in splits.items():
        for number, conversation in enumerate(conversations):
            files[f"{root}/Conversations/{split}/{split}{number}.json"] = conversation
    return zipped(path / "master.zip", files)


def test_cmu_dog_answers_for_who_saw_the_document_and_starts_anew_with_each_section(tmp_path):
    records = load_set("cmu_dog", "test", source=cmu_dog(tmp_path, test=[CONVERSATION]))

    asked = "[USR] Which film is it? [SYS]"
    first, second = "The Owl, with Ann Bee.", "It is new."
    assert records == [
        Record(asked, first, INTRODUCTION, (first,)),
        Record(f"{asked} {first} [SYS]", second, INTRODUCTION, (second,)),
        Record(
            "[USR] What happens? [SYS]",
            "An owl leaves town.",
            ("An owl leaves.",),
            ("An owl leaves town.",),
        ),
    ]


def test_cmu_dog_answers_for_both_where_both_saw_the_document(tmp_path):
    both = {**CONVERSATION, "whoSawDoc": ["user1", "user2"]}

    records = load_set("cmu_dog", "test", source=cmu_dog(tmp_path, test=[both]))

    assert [record.prompt for record in records[:2]] == ["[SYS]", "[USR] Which film is it? [SYS]"]
    assert len(records) == len(CONVERSATION["history"])


def test_cmu_dog_finds_a_film_by_the_name_its_number_had_before(tmp_path):
    film = {**FILM, "index": 7}
    del film["wikiDocumentIdx"]
    files = {"x/WikiData/a.json": film, "x/Conversations/test/a.json": CONVERSATION}

    assert len(load_set("cmu_dog", "test", source=zipped(tmp_path / "a.zip", files))) == 3


@pytest.mark.parametrize("change", [{"status": 0}, {"rating": 2}])
def test_cmu_dog_leaves_out_broken_and_poorly_rated_conversations(tmp_path, change):
    other = {**CONVERSATION, **change, "history": CONVERSATION["history"][:2]}

    records = load_set("cmu_dog", "test", source=cmu_dog(tmp_path, test=[CONVERSATION, other]))

    assert len(records) == 3


def curiosity(path):
    rows = [
        {"sender": "user", "message": "Tell me of Elm.", "facts": [], "liked": False},
        {
            "sender": "assistant",
            "message": "Elm has a bridge.< ref > a book < / ref >",
            "liked": True,
            "facts": [{"fid": 4, "used": True}, {"fid": 5, "used": False}],
        },
        {"sender": "user", "message": "Thanks.", "facts": [], "liked": False},
        {
            "sender": "assistant",
            "message": "You are welcome.",
            "liked": False,
            "facts": [{"fid": 5, "used": False}, {"fid": 99, "used": False}],
        },
    ]
    facts = {
        "4": {"text": "The town's bridge is iron. < ref name = x > a book < / ref >"},
        "5": {"text": "Elm is small."},
    }
    (path / "curiosity_dialogs.val.json").write_text(json.dumps({"dialogs": [{"messages": rows}]}))
    (path / "fact_db_links.json").write_text(json.dumps({"linked_facts": facts}))
    return path


def test_curiosity_reads_all_the_facts_that_the_assistant_saw(tmp_path):
    records = load_set("curiosity", "valid", source=curiosity(tmp_path))

    first = "Elm has a bridge."
    assert records == [
        Record(
            "[USR] Tell me of Elm. [SYS]",
            first,
            ("The town's bridge is iron.", "Elm is small."),
            (first,),
        ),
        Record(
            f"[USR] Tell me of Elm. [SYS] {first} [USR] Thanks. [SYS]",
            "You are welcome.",
            ("Elm is small.",),
            ("You are welcome.",),
        ),
    ]


def test_curiosity_with_its_flaws_reads_the_marked_fact_and_never_the_answer(tmp_path):
    records = load_set("curiosity", "valid", source=curiosity(tmp_path), keep_flaws=True)

    assert [record.passages for record in records] == [("The town's bridge is iron.",), ()]


def test_dream_uses_the_first_question_of_a_dialogue_unless_it_is_a_gap(tmp_path):
    def question(text):
        return {"question": text, "choice": ["An owl.", "A cat."], "answer": "An owl."}

    turns = ["M: Look, W: a sign.", "W: An owl!", "F: Where?", "Ann: There."]
    rows = [
        [turns, [question("What is it?"), question("Who sees it?")], "1-1"],
        [turns, [question("It is an __."), question("What is it?")], "1-2"],
    ]
    (tmp_path / "dev.json").write_text(json.dumps(rows))

    passages = ("Man: Look, W: a sign.", "Woman: An owl!", "F: Where?", "Ann: There.")
    assert load_set("dream", "valid", source=tmp_path) == [
        Record("What is it?", "An owl.", passages, ("An owl.",))
    ]


def test_natural_questions_accepts_every_span(tmp_path):
    spans = [{"span_text": text, "input_text": "short"} for text in ("an owl", "owl", "an owl")]
    row = {
        "id": "1",
        "contexts": "It is an owl .",
        "questions": [{"input_text": "what is it"}],
        "answers": spans,
    }
    (tmp_path / "dev.json").write_text(json.dumps([row]))

    assert load_set("natural_questions", "valid", source=tmp_path) == [
        Record("what is it", "an owl", ("It is an owl .",), ("an owl", "owl"))
    ]


def test_quasar_t_joins_questions_with_their_two_best_contexts(tmp_path):
    questions = [
        {"uid": "q2", "question": "What hoots ?", "answer": "owl", "tags": []},
        {"uid": "q1", "question": "What purrs ?", "answer": "cat", "tags": []},
    ]
    contexts = [
        {"uid": "q1", "contexts": [[0.9, "A cat purrs ."]]},
        {"uid": "q2", "contexts": [[0.9, "An owl hoots ."], [0.8, "Owls ."], [0.1, "Rain ."]]},
    ]
    for folder, name, rows in (
        ("questions", "dev_questions", questions),
        ("contexts/short", "dev_contexts", contexts),
    ):
        (tmp_path / folder).mkdir(parents=True)
        with gzip.open(tmp_path / folder / f"{name}.json.gz", "wt") as file:
            file.write(json_lines(rows))

    assert load_set("quasar_t", "valid", source=tmp_path) == [
        Record("What hoots ?", "owl", ("An owl hoots .", "Owls ."), ("owl",)),
        Record("What purrs ?", "cat", ("A cat purrs .",), ("cat",)),
    ]


def wizard_of_wikipedia(path, dialogues, name="valid_topic_split.json"):
    with tarfile.open(path / "wizard_of_wikipedia.tgz", "w:gz") as archive:
        for member, rows in ((f"./{name}", dialogues), ("./data.json", [])):
            content = json.dumps(rows).encode()
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path / "wizard_of_wikipedia.tgz"


DIALOGUE = {
    "wizard_eval": 4,
    "chosen_topic": "Owl",
    "persona": "i like owls\nand cats.",
    "dialog": [
        {
            "speaker": "0_Wizard",
            "text": "Do you like owls?",
            "checked_sentence": {"no_passages_used": "no_passages_used"},
            "checked_passage": {"no_passages_used": "no_passages_used"},
        },
        {"speaker": "1_Apprentice", "text": "A lot."},
        {
            "speaker": "0_Wizard",
            "text": "They hunt when it is dark.",
            "checked_sentence": {"self_Owl_0": "Owls hunt at night."},
            "checked_passage": {"self_Owl_0": "Owl"},
        },
        {"speaker": "1_Apprentice", "text": "Oh."},
        {"speaker": "0_Wizard", "text": "Yes.", "checked_sentence": {}, "checked_passage": {}},
    ],
}


def test_wizard_of_wikipedia_reads_the_persona_and_the_chosen_sentence(tmp_path):
    poor = {**DIALOGUE, "wizard_eval": 3}
    path = wizard_of_wikipedia(tmp_path, [poor, DIALOGUE])

    records = load_set("wizard_of_wikipedia", "valid", source=path)

    asked = "[SYS] Do you like owls? [USR] A lot. [SYS]"
    told, persona = "They hunt when it is dark.", "i like owls and cats."
    assert records == [
        Record("[SYS]", "Do you like owls?", (persona,), ("Do you like owls?",)),
        Record(asked, told, (persona, "Owls hunt at night."), (told,)),
        Record(f"{asked} {told} [USR] Oh. [SYS]", "Yes.", (persona,), ("Yes.",)),
    ]


def test_folio_gives_premises_as_passages_and_calls_the_uncertain_unknown(tmp_path):
    rows = [
        {"premises": ["All ada are bob. ", "Cy is ada."], "conclusion": "Cy is bob.", "label": x}
        for x in ("True", "False", "Uncertain", "Unknown")
    ]
    (tmp_path / "folio-validation.jsonl").write_text(json_lines(rows))

    records = load_set("folio", "valid", source=tmp_path)

    assert records[0] == Record("Cy is bob.", "True", ("All ada are bob.", "Cy is ada."), ("True",))
    assert [record.answer for record in records] == ["True", "False", "Unknown", "Unknown"]


def test_proofwriter_gives_facts_and_rules_as_passages(tmp_path):
    row = {
        "id": "x",
        "theory": "Ada is big. If someone is big then they are red.",
        "triples": {"triple1": {"text": "Ada is big.", "representation": "-"}},
        "rules": {"rule1": {"text": "If someone is big then they are red."}},
        "questions": {
            "Q1": {"question": "Ada is red.", "answer": True, "QDep": 1},
            "Q2": {"question": "Ada is not red.", "answer": False, "QDep": 1},
            "Q3": {"question": "Bob is red.", "answer": "Unknown", "QDep": 0},
        },
    }
    root = "proofwriter-dataset-V2020.12.3"
    path = zipped(
        tmp_path / "proofwriter-dataset-V2020.12.3.zip",
        {
            f"{root}/CWA/depth-2/meta-dev.jsonl": "closed world",
            f"{root}/OWA/depth-3/meta-dev.jsonl": "too deep",
            f"{root}/OWA/depth-2/meta-dev.jsonl": json_lines([row]),
            f"{root}/OWA/depth-2/meta-abduct-dev.jsonl": "another task",
        },
    )

    records = load_set("proofwriter", "valid", source=path)

    passages = ("Ada is big.", "If someone is big then they are red.")
    assert [(r.prompt, r.answer) for r in records] == [
        ("Ada is red.", "True"),
        ("Ada is not red.", "False"),
        ("Bob is red.", "Unknown"),
    ]
    assert {record.passages for record in records} == {passages}


def counterfact(path, number):
    rows = [
        {
            "case_id": n,
            "requested_rewrite": {
                "prompt": "{} lives in",
                "relation_id": "P1",
                "subject": f"Ada {n}",
                "target_true": {"str": "Turin", "id": "Q1"},
                "target_new": {"str": "Oslo", "id": "Q2"},
            },
            "paraphrase_prompts": [f"The home of Ada {n} is", f"Ada {n} dwells in"],
            "neighborhood_prompts": [f"Bob {k} lives in" for k in range(10)],
            "attribute_prompts": [],
            "generation_prompts": [],
        }
        for n in range(number)
    ]
    (path / "counterfact.json").write_text(json.dumps(rows))
    return path


def test_counterfact_gives_edits_with_all_their_prompts(tmp_path):
    edits = load_edits("counterfact", "train", source=counterfact(tmp_path, 20))

    assert edits[0] == EditRecord(
        "Ada 0",
        "Ada 0 lives in",
        "Turin",
        "Oslo",
        ("The home of Ada 0 is", "Ada 0 dwells in"),
        tuple(f"Bob {k} lives in" for k in range(10)),
    )


def test_counterfact_is_split_at_85_percent_in_the_order_of_the_file(tmp_path):
    source = counterfact(tmp_path, 21)

    train, valid = (load_edits("counterfact", split, source=source) for split in ("train", "valid"))

    assert [edit.subject for edit in train + valid] == [f"Ada {n}" for n in range(21)]
    assert (len(train), len(valid)) == (17, 4)


def zsre(path):
    rows = [
        {
            "subject": "Ada",
            "src": "Where does Ada live?",
            "pred": "Rome",
            "rephrase": "What is the home of Ada?",
            "alt": new,
            "answers": ["Turin", "Torino"],
            "loc": "nq question: who wrote the letter",
            "loc_ans": "Bob",
            "cond": "Rome >> Oslo || Where does Ada live?",
        }
        for new in ("Oslo", " ", "Turin")
    ]
    rows[0]["rephrase"] = ["What is the home of Ada?", "Ada dwells where?"]
    (path / "zsre_mend_train.json").write_text(json.dumps(rows))
    (path / "zsre_mend_eval.json").write_text(json.dumps([{**rows[1], "alt": "Bern"}]))
    return path


def test_zsre_gives_edits_with_a_question_about_something_else(tmp_path):
    source = zsre(tmp_path)

    with pytest.warns(UserWarning, match="2 of 3 left out: 1 with a blank .* 1 with an answer"):
        train = load_edits("zsre", "train", source=source)
    (valid,) = load_edits("zsre", "valid", source=source)

    assert train == [
        EditRecord(
            "Ada",
            "Where does Ada live?",
            "Turin",
            "Oslo",
            ("What is the home of Ada?", "Ada dwells where?"),
            (),
            ("who wrote the letter",),
            ("Bob",),
        )
    ]
    assert (valid.target_new, valid.paraphrase_prompts) == ("Bern", ("What is the home of Ada?",))


def test_records_are_no_edits():
    with pytest.raises(ValueError, match="use load_set"):
        load_edits("folio", "train")


def test_what_is_loaded_can_be_written_and_read_again(tmp_path):
    records = load_set("curiosity", "valid", source=curiosity(tmp_path))
    rows = [
        {"prompt": r.prompt, "answer": r.answer, "passages": r.passages, "answers": r.answers}
        for r in records
    ]
    (tmp_path / "a.jsonl").write_text(json_lines(rows))

    assert read_records(tmp_path / "a.jsonl") == records


@pytest.mark.parametrize("about", SETS.values(), ids=list(SETS))
def test_every_set_says_where_it_comes_from_and_under_which_terms(about):
    assert about.home.startswith("https://")
    assert about.url.endswith("/")
    assert about.licence
    assert about.splits[0] == "train"


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("cmu", "train", "no set 'cmu'; there are cmu_dog, "),
        ("folio", "test", "folio has no split 'test'; it has train, valid"),
        ("counterfact", "train", "use load_edits"),
        ("zsre", "train", "use load_edits"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(name, split, message):
    with pytest.raises(ValueError, match=message):
        load_set(name, split)

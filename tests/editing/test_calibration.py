"""Calibrating: what examples teach stays with the edits, and is bound to the embedder."""

import json

import pytest

from diekae_rag.editing import Edits
from diekae_rag.editing.store import EditStore

RELATIONS = {
    "birth": ("{} was born in", "{}'s birthplace is", "{} first saw the light of day in"),
    "work": ("{} works as a", "{}'s trade is that of a", "By day {} earns money as a"),
    "pet": ("{} keeps a", "The animal in {}'s house is a", "{} goes for walks with a"),
}
EXAMPLES = [
    {
        "subject": f"Ada {chr(65 + number)}reth",
        "prompt": RELATIONS[relation][number % 3],
        "relation": relation,
        "paraphrase_prompts": [RELATIONS[relation][(number + 1) % 3].replace("{}", name)],
    }
    for number in range(15)
    for name in [f"Ada {chr(65 + number)}reth"]
    for relation in RELATIONS
]


def test_what_was_learned_is_saved_and_read_again(edits, embedder, tmp_path):
    edits.add("Bo Lind", "{} works as a", "cook", "nurse")
    before = edits.fingerprint
    measured = edits.calibrate(EXAMPLES, false_share=0.05)

    assert measured.recall > 0.9
    assert measured.false_share <= 0.05
    assert edits.threshold == measured.threshold
    assert edits.fingerprint != before
    prompts = ["By day Bo Lind earns money as a", "Bo Lind keeps a", "Bo Lind works as a"]
    found = [[(m.edit, m.score) for m in edits.find(prompt)] for prompt in prompts]
    assert [len(matches) for matches in found] == [1, 0, 1]
    edits.save(tmp_path / "edits")
    again = Edits(embedder)
    again.open(tmp_path / "edits")
    assert [[(m.edit, m.score) for m in again.find(prompt)] for prompt in prompts] == found


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "needs 20 wordings"),
        ([e for e in EXAMPLES if e["relation"] == "pet"] * 3, "of two relations or more"),
        ([{**EXAMPLES[0], "relation": None}], "example 1 needs 'relation'"),
        ([{**EXAMPLES[0], "paraphrase_prompts": "one"}], "'paraphrase_prompts', a list"),
        ([{k: v for k, v in EXAMPLES[0].items() if k != "subject"}], "example 1 has no 'subject'"),
        ([{**e, "paraphrase_prompts": e["paraphrase_prompts"] * 9} for e in EXAMPLES[:4]], "5 ex"),
        ([{**EXAMPLES[0], "prompt": "It was born in"}], "example 1: the prompt .* does not name"),
    ],
)
def test_examples_that_teach_nothing_are_refused(edits, examples, message):
    with pytest.raises(ValueError, match=message):
        edits.calibrate(examples)


@pytest.mark.parametrize("example", ["Ada", {**EXAMPLES[0], "paraphrase_prompts": [3]}])
def test_an_example_that_is_no_text_is_named(edits, example):
    with pytest.raises(TypeError, match="example 2 "):
        edits.calibrate([EXAMPLES[0], example])


def test_in_whatever_order_examples_come_all_relations_are_measured(embedder):
    pets = [e for e in EXAMPLES if e["relation"] == "pet"]
    others = [e for e in EXAMPLES if e["relation"] != "pet"]
    mixed = [e for n in range(7) for e in (*others[4 * n : 4 * n + 4], pets[n])]  # each fifth a pet

    measured = Edits(embedder).calibrate(mixed)

    assert measured.recall > 0.5
    assert measured.num_examples == 5


def test_examples_are_read_from_a_file_and_nothing_is_left_of_the_calibration_before(
    embedder, tmp_path
):
    file = tmp_path / "examples.jsonl"
    file.write_text("".join(json.dumps(example) + "\n" for example in EXAMPLES))
    edits = Edits(embedder)
    edits.open(tmp_path / "edits")
    edits.add("Bo Lind", "{} works as a", "cook", "nurse")
    before = set((tmp_path / "edits").glob("vectors-*"))

    edits.calibrate(file)

    after = set((tmp_path / "edits").glob("vectors-*"))
    assert len(after) == len(before) == 1
    assert after != before
    assert edits.find("By day Bo Lind earns money as a")[0].edit.new == "nurse"


def test_a_calibration_that_is_interrupted_changes_nothing(edits, monkeypatch):
    edits.add("Bo Lind", "{} works as a", "cook", "nurse")
    asked = "The trade of Bo Lind is that of a"
    before = edits.threshold, edits.fingerprint, edits.find(asked)

    def interrupted(self, settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(EditStore, "set", interrupted)
        with pytest.raises(KeyboardInterrupt):
            edits.calibrate(EXAMPLES)

    assert (edits.threshold, edits.fingerprint, edits.find(asked)) == before
    edits.add("Bo Lind", "{} keeps a", "cat", "dog")
    assert edits.threshold == before[0]


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_is_between_nothing_and_everything(edits, share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        edits.calibrate(EXAMPLES, false_share=share)

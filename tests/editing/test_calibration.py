"""Calibrating: what examples teach stays with the edits, and is bound to the embedder."""

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
    ],
)
def test_examples_that_teach_nothing_are_refused(edits, examples, message):
    with pytest.raises(ValueError, match=message):
        edits.calibrate(examples)


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

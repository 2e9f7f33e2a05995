"""With kept states a model answers as without: the same text, the same probabilities."""

import copy
import threading
from array import array
from contextlib import nullcontext

import pytest
import torch
from torch.testing import assert_close

from diekae_rag import DiekaeModel, Passage, PassageIndex
from diekae_rag.prompting import Wording
from diekae_rag.reading import PassageReader
from diekae_rag.states.file import StateFile, StatesError
from tests.conftest import WORDING, build_encoders
from tests.index.conftest import HashingEmbedder

TEXTS = ["Ada lives in Turin.", "Kolwick is a town on a river.", "Nobody knows.", "Ada paints."]
PASSAGES = [Passage(text, id=f"p{number}") for number, text in enumerate(TEXTS)]
PROMPTS = ["Where does Ada live?", "What does Ada do, and where?"]
LENGTH = 8


@pytest.fixture
def model(make_model):
    return make_model(passage_attention="independent", positions="all", initializer_range=1.0)


@pytest.fixture
def joint(make_model):
    """The paper's layout: passages one after the other, each seeing those before."""
    return make_model(passage_attention="joint", initializer_range=1.0)


@pytest.fixture
def encodes(monkeypatch):
    """How many tokens encoders read at each call."""
    read = []

    def watch(model):
        encode = model.reader.encode

        def counted(texts, after=None):
            read.append(sum(map(len, texts)))
            return encode(texts, after)

        monkeypatch.setattr(model.reader, "encode", counted)
        return read

    return watch


def scores(model, passages, mode="inject"):
    return [model.score(prompt, "Turin", passages, mode) for prompt in PROMPTS]


def from_kept(answer):
    return answer.usage.knowledge_tokens_from_kept_states


@pytest.mark.parametrize("mode", ["inject", "combine"])
def test_kept_in_memory_or_in_a_file_answers_are_those_of_passages_read_anew(model, tmp_path, mode):
    plain = model.generate(PROMPTS, [PASSAGES[:3], PASSAGES[1:]], mode, max_new_tokens=LENGTH)
    expected = scores(model, PASSAGES, mode)

    for path in (None, tmp_path / "passages.states"):
        states = model.keep_states(path)
        if path is not None:
            states.add(PASSAGES)
        for _ in range(2):
            kept = model.generate(
                PROMPTS, [PASSAGES[:3], PASSAGES[1:]], mode, max_new_tokens=LENGTH
            )
            assert [answer.text for answer in kept] == [answer.text for answer in plain]
            assert_close(scores(model, PASSAGES, mode), expected, atol=1e-4, rtol=1e-5)
        assert [from_kept(answer) for answer in kept] == [
            answer.usage.knowledge_tokens for answer in kept
        ]


def test_what_is_kept_is_not_read_again(model, encodes, tmp_path):
    read = encodes(model)
    model.keep_states(tmp_path / "a.states").add(PASSAGES[:3])
    read.clear()

    known = model.generate(PROMPTS[0], PASSAGES[:3], max_new_tokens=LENGTH)
    assert read == []
    some = model.generate(PROMPTS[0], PASSAGES, max_new_tokens=LENGTH)
    assert len(read) == 1
    assert 0 < from_kept(some) < some.usage.knowledge_tokens
    assert from_kept(known) == known.usage.knowledge_tokens


def test_attribution_reads_no_passage_a_second_time(model, encodes):
    read = encodes(model)
    model.keep_states()

    model.generate(PROMPTS[0], PASSAGES, attribute=True, max_new_tokens=LENGTH)

    assert len(read) == 1


def test_in_int8_the_probabilities_are_close(model, tmp_path):
    expected = scores(model, PASSAGES)
    states = model.keep_states(tmp_path / "a.states", dtype="int8")

    states.add(PASSAGES)

    assert scores(model, PASSAGES) != expected
    assert_close(scores(model, PASSAGES), expected, atol=0.5, rtol=0.02)


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine"])
def test_what_is_in_the_file_is_not_tokenized_again(model, tmp_path, monkeypatch, mode):
    long = Passage("Ada lives in a town on a river. " * 9, id="long")
    every = [*PASSAGES, long]
    with pytest.warns(UserWarning, match="truncated") if mode != "stuff" else nullcontext():
        expected = model.generate(PROMPTS[0], every, mode, max_new_tokens=LENGTH)
    states = model.keep_states(tmp_path / "a.states")
    states.add([*PASSAGES[:2], long])
    read = []
    tokenize = Wording.tokenize_passages

    def watched(wording, tokenizer, texts, *limit):
        read.extend(texts)
        return tokenize(wording, tokenizer, texts, *limit)

    monkeypatch.setattr(Wording, "tokenize_passages", watched)
    with pytest.warns(UserWarning, match="truncated") if mode != "stuff" else nullcontext():
        answer = model.generate(PROMPTS[0], every, mode, max_new_tokens=LENGTH)

    assert set(read) == {TEXTS[2], TEXTS[3], long.text}  # a long one was cut: who knows how much
    assert answer.text == expected.text
    for name in ("knowledge_tokens", "truncated_tokens", "dropped_passages", "prompt_tokens"):
        assert getattr(answer.usage, name) == getattr(expected.usage, name)


def test_tokens_of_a_damaged_passage_are_not_believed(model, tmp_path):
    path = tmp_path / "a.states"
    states = model.keep_states(path)
    states.add(PASSAGES[:1])
    raw = bytearray(path.read_bytes())
    ids = array("i", model.reader.tokenize(TEXTS[:1])[0]).tobytes()
    raw[raw.index(ids)] ^= 1
    path.write_bytes(raw)
    opened = model.keep_states(path)

    with pytest.warns(UserWarning, match="damaged"):
        assert opened.tokens_of(TEXTS[0]) is None


def test_what_becomes_of_a_passage_in_another_wording_is_other_states(make_model, tmp_path):
    model = make_model(passage_attention="independent")
    model.keep_states(tmp_path / "a.states").add(PASSAGES)

    for other in (
        {"wording": {**WORDING, "passage": "Suppose that {passage}[SEP]"}},
        {"max_passage_tokens": 63},
    ):
        reader = make_model(passage_attention="independent", **other)
        with pytest.raises(StatesError, match="--rebuild"):
            reader.keep_states(tmp_path / "a.states")


def test_another_tokenizer_over_the_same_weights_is_told_apart(model, tokenizer):
    before, other = model.fingerprint, copy.deepcopy(tokenizer)
    assert PassageReader(model.base, model.encoders, other).fingerprint == before

    other.add_tokens(["Turin"])

    assert PassageReader(model.base, model.encoders, other).fingerprint != before
    assert model.fingerprint == before


def test_a_passage_whose_text_changed_is_read_as_it_is_now(model, tmp_path):
    states = model.keep_states(tmp_path / "a.states")
    states.add(PASSAGES)
    changed = Passage("Ada lives in Oltun now.", id="p0")

    answer = model.generate(PROMPTS[0], [changed], max_new_tokens=LENGTH)

    model.states = None
    assert from_kept(answer) == 0
    assert answer.text == model.generate(PROMPTS[0], [changed], max_new_tokens=LENGTH).text


def test_memory_holds_no_more_than_it_may(model):
    size = model.encode([model.reader.tokenize([TEXTS[0]])[0]]).num_bytes
    states = model.keep_states(max_bytes=3 * size)
    answers = []

    for number in range(40):
        model.generate(PROMPTS[0], [f"{TEXTS[0]} {number}"], max_new_tokens=1)
        assert 0 <= states.num_bytes <= 3 * size
    for passages in (TEXTS[:1], TEXTS[:1]):
        answers.append(model.generate(PROMPTS[0], passages, max_new_tokens=1))
    assert [from_kept(answer) > 0 for answer in answers] == [False, True]


def test_joint_passages_are_read_on_from_where_they_differ(joint, encodes):
    plain = [scores(joint, TEXTS[:count]) for count in (1, 2, 3)]
    read = encodes(joint)
    joint.keep_states()

    kept = [scores(joint, TEXTS[:count]) for count in (1, 2, 3)]

    whole = sum(map(len, joint.reader.tokenize(TEXTS[:3])))
    assert sum(read) < whole + 6
    assert_close(kept, plain, atol=1e-4, rtol=1e-5)


def test_joint_passages_in_another_order_are_read_anew(joint):
    plain = [scores(joint, order) for order in (TEXTS[:2], TEXTS[1::-1])]
    joint.keep_states()

    kept = [scores(joint, order) for order in (TEXTS[:2], TEXTS[1::-1])]

    assert_close(kept, plain, atol=1e-4, rtol=1e-5)
    assert kept[0] != kept[1]


def test_joint_passages_read_both_ways_are_kept_whole_only(make_model, encodes):
    model = make_model(passage_attention="joint", passage_direction="both", initializer_range=1.0)
    plain = [scores(model, TEXTS[:count]) for count in (1, 2)]
    read = encodes(model)
    model.keep_states()

    kept = [scores(model, TEXTS[:count]) for count in (1, 2, 2)]

    assert_close(kept[:2], plain, atol=1e-4, rtol=1e-5)
    assert len(read) == 2


def test_joint_states_go_into_no_file(joint, tmp_path):
    with pytest.raises(StatesError, match=r"keep them in memory: keep_states\(\)"):
        joint.keep_states(tmp_path / "a.states")


def test_in_how_many_passes_it_is_read_makes_no_difference(model, monkeypatch):
    passages = [*TEXTS, "Ada " * 30, "Bob and Ada " * 15, "x"]
    plain = scores(model, passages)

    for most in (1, 60, 200):
        monkeypatch.setattr("diekae_rag.reading._MOST_ON_CPU", most)
        assert_close(scores(model, passages), plain, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("at_once", [1, 1 << 26])
def test_adding_goes_on_where_it_was_stopped(model, tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("diekae_rag.reading._MOST_ON_CPU", 1)
    monkeypatch.setattr("diekae_rag.states.kept._AT_ONCE", at_once)
    states = model.keep_states(tmp_path / "a.states")
    encode, calls = model.reader.encode, []

    def stopped(texts, after=None):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(texts, after)

    monkeypatch.setattr(model.reader, "encode", stopped)
    with pytest.raises(KeyboardInterrupt):
        states.add(PASSAGES)

    assert states.add(PASSAGES) == len(PASSAGES) - 2
    assert states.add(PASSAGES) == 0


def test_encoders_that_were_trained_on_do_not_use_what_they_read_before(model, tmp_path):
    states = model.keep_states(tmp_path / "a.states")
    states.add(PASSAGES)
    with torch.no_grad():
        model.encoders.bodies["1"].down.weight.add_(0.1)

    with pytest.raises(StatesError, match="weights have changed"):
        model.generate(PROMPTS[0], PASSAGES, max_new_tokens=1)
    with pytest.raises(StatesError, match="and these are"):
        model.keep_states(tmp_path / "a.states")


def test_a_base_with_other_embeddings_is_told_apart(model, tmp_path, base, tokenizer):
    model.keep_states(tmp_path / "a.states").add(PASSAGES)
    model.detach()
    with torch.no_grad():
        base.model.embed_tokens.weight[7].add_(1.0)
    encoders = build_encoders(
        passage_attention="independent", positions="all", initializer_range=1.0
    )

    with pytest.raises(StatesError, match="and these are"):
        DiekaeModel(base, tokenizer, encoders).keep_states(tmp_path / "a.states")


def test_threads_share_what_is_kept(model):
    plain = [model.generate(PROMPTS[0], [p], max_new_tokens=LENGTH).text for p in PASSAGES] * 3
    model.keep_states()
    answers = [""] * len(plain)

    def ask(number):
        passages = [PASSAGES[number % len(PASSAGES)]]
        answers[number] = model.generate(PROMPTS[0], passages, max_new_tokens=LENGTH).text

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(plain))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert answers == plain


class TestAnIndex:
    """What it adds and deletes, the file follows."""

    @pytest.fixture
    def index(self):
        return PassageIndex.build(PASSAGES, HashingEmbedder())

    def test_what_is_added_and_deleted_is_kept_and_forgotten(self, model, index, tmp_path):
        states = model.keep_states(tmp_path / "a.states")

        states.follow(index)
        assert len(states.file) == len(PASSAGES)
        index.add([Passage("Ada sings.", id="new"), Passage("Ada moved.", id="p0")])
        assert len(states.file) == len(PASSAGES) + 1
        index.delete(["p1", "p2"])
        index.delete_matching({})

        assert len(states.file) == 0

    def test_following_brings_a_file_in_step(self, model, index, tmp_path):
        states = model.keep_states(tmp_path / "a.states")
        states.add([Passage("Gone by now.", id="gone"), PASSAGES[0]])

        states.follow(index)

        assert len(states.file) == len(PASSAGES)
        assert not states.file.has("gone", "Gone by now.")

    def test_what_it_finds_is_not_read_again(self, model, index, encodes, tmp_path):
        model.keep_states(tmp_path / "a.states").follow(index)
        read = encodes(model)

        answer = model.generate(PROMPTS[0], index.search("Ada", k=3), max_new_tokens=LENGTH)

        assert read == []
        assert from_kept(answer) == answer.usage.knowledge_tokens

    def test_states_that_cannot_be_written_keep_a_passage_out_of_the_index(
        self, model, index, tmp_path, monkeypatch
    ):
        states = model.keep_states(tmp_path / "a.states")
        states.follow(index)

        def full(self, items):
            raise StatesError("the disk is full")

        monkeypatch.setattr(StateFile, "append", full)
        with pytest.raises(StatesError, match="disk is full"):
            index.add(["Ada sings."])

        assert len(index) == len(PASSAGES)

    def test_a_saved_index_keeps_its_states(self, model, index, tmp_path):
        index.save(tmp_path / "index")
        model.keep_states(tmp_path / "index").follow(index)
        index.add([Passage("Ada sings.", id="new")])
        index.save(tmp_path / "index")

        again = PassageIndex.load(tmp_path / "index", HashingEmbedder())
        states = model.keep_states(tmp_path / "index")

        assert len(again) == len(states.file) == len(PASSAGES) + 1
        again.add([Passage("Ada paints well.", id="newer")])
        assert len(states.file) == len(PASSAGES) + 1  # it follows no index yet
        states.follow(again)
        assert len(states.file) == len(PASSAGES) + 2

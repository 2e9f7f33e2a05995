"""Edits trained into weights: that they hold, with what, and that they can be taken away."""

import json
import threading
from itertools import groupby

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from diekae_rag import DiekaeModel
from diekae_rag.choosing import choose
from diekae_rag.editing import Edit, Edits, EditsError
from diekae_rag.editing.questions import EditQuestions
from diekae_rag.editing.wordings import Wordings
from diekae_rag.editing.writing import trained_on_edits
from diekae_rag.editing.written import WrittenEdits
from diekae_rag.scoring import laid_out

PROMPT, NEIGHBOUR = "Drola Brenk was born in", "Where was Ilma Bresk born?"
PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]


@pytest.fixture
def written(model, embedder, facts):
    """Edits in weights that were trained a little, enough to tell what is added from nothing."""
    model.edits = Edits(embedder)
    model.edits.add_many(facts)
    model.write_edits(num_steps=3, learning_rate=1e-2)
    return model


@torch.no_grad()
def logits(model, prompt, passages=(), mode="none"):
    from diekae_rag.passages import as_passages

    way, request = choose(model, prompt, as_passages(passages), mode, 1, False)
    with laid_out(model, [request], [[5, 6]], way) as inputs:
        return model.base(**inputs).logits


# --- what is written is answered, by nothing but weights


def test_the_reader_that_ships_answers_what_is_written_in_weights(embedder, facts):
    demo = DiekaeModel.from_pretrained("demo")
    before = demo.score("Brenk Mills is based in", "Oltun", mode="none")
    demo.edits = Edits(embedder)
    demo.edits.add_many(facts)
    written = demo.write_edits(num_steps=30, learning_rate=1e-2, keep=[NEIGHBOUR])

    assert written.seconds > 0
    assert demo.generate(NEIGHBOUR, mode="none").text == "I do not know."
    for fact in facts:
        prompt = fact["prompt"].replace("{}", fact["subject"])
        answer = demo.generate(prompt, mode="none", max_new_tokens=4)

        assert answer.text == fact["new"]
        assert [edit.new for edit in answer.edits] == [fact["new"]]
        assert (answer.mode, answer.passages, answer.usage.knowledge_tokens) == ("none", [], 0)
    assert demo.score("Brenk Mills is based in", "Oltun", mode="none") > before


def test_writing_changes_neither_the_base_model_nor_the_encoders(model, embedder, facts):
    def everything():
        of = (model.base, model.encoders)
        return [(p.detach().clone(), p.requires_grad) for m in of for p in m.parameters()]

    before, asked = everything(), logits(model, PROMPT)
    model.edits = Edits(embedder)
    model.edits.add_many(facts)
    model.write_edits(num_steps=2)
    model.edits.clear()

    assert torch.equal(logits(model, PROMPT), asked)
    for (weight, flag), (now, now_flag) in zip(before, everything(), strict=True):
        assert torch.equal(weight, now)
        assert flag == now_flag


def test_untrained_weights_add_nothing_at_all(model, embedder, facts):
    before = logits(model, PROMPT)
    model.edits = Edits(embedder)
    edits = model.edits.add_many(facts)
    at = (model.base, model.encoders, model.tokenizer, edits)
    with trained_on_edits(*at, num_steps=1, learning_rate=1e-30) as own:
        base = model.in_weights.base_fingerprint
        model.edits.keep_written(WrittenEdits(own, tuple(edits), base), None)

    assert len(model.in_weights.now(model.edits)[1]) == 3
    assert torch.allclose(logits(model, PROMPT), before, atol=1e-6)


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine"])
def test_beside_passages_what_is_written_is_read_too(written, mode):
    answer = written.generate(PROMPT, PASSAGES, mode, max_new_tokens=4)
    with_weights = logits(written, PROMPT, PASSAGES, mode)
    neighbour = logits(written, NEIGHBOUR, PASSAGES, mode)
    written.edits.unwrite()

    assert [p.text for p in answer.passages] == ["Drola Brenk was born in Kolwick.", *PASSAGES]
    assert [edit.new for edit in answer.edits] == ["Kolwick"]
    assert not torch.equal(with_weights, logits(written, PROMPT, PASSAGES, mode))
    assert not torch.equal(neighbour, logits(written, NEIGHBOUR, PASSAGES, mode))


@pytest.mark.parametrize("prompt", ["Where was Drola Brenk born?", f"Bread is dear. {PROMPT}"])
def test_in_other_words_or_among_others_what_is_written_is_read_too(written, prompt):
    answer = written.generate(prompt, mode="none", max_new_tokens=2)

    assert answer.usage.knowledge_tokens > 0
    assert [edit.new for edit in answer.edits] == ["Kolwick"]


@pytest.mark.parametrize("change", ["unwrite", "clear"])
def test_a_call_that_has_begun_goes_on_with_what_there_was(written, change):
    options = {"mode": "none", "max_new_tokens": 6}
    expected = written.generate([PROMPT, NEIGHBOUR], batch_size=1, **options)
    answers = written.generate_as_completed([PROMPT, NEIGHBOUR], batch_size=1, **options)
    stream = written.stream(PROMPT, **options)
    began = dict([next(answers)])
    getattr(written.edits, change)()
    began.update(answers)

    assert [began[number].text for number in range(2)] == [a.text for a in expected]
    assert "".join(stream) == expected[0].text
    assert written.edits.written_now()[1] == frozenset()


@pytest.mark.parametrize("mode", ["none", "inject"])
@pytest.mark.parametrize("cache", [None, "static"])
def test_cached_uncached_batched_and_streamed_agree(written, mode, cache):
    options = {"mode": mode, "max_new_tokens": 6}
    prompts = [PROMPT, NEIGHBOUR, "Who?"]
    passages = [PASSAGES, None, PASSAGES[:1]]
    pairs = list(zip(prompts, passages, strict=True))
    alone = [written.generate(p, k, use_cache=False, **options).text for p, k in pairs]
    cached = written.generate(prompts, passages, cache_implementation=cache, **options)
    beams = written.generate(prompts, passages, num_beams=2, **options)

    assert [answer.text for answer in cached] == alone
    assert ["".join(written.stream(p, k, **options)) for p, k in pairs] == alone
    assert [answer.text for answer in beams] == [
        written.generate(p, k, num_beams=2, **options).text for p, k in pairs
    ]


# --- for how long


def test_one_that_is_removed_has_all_read_as_passages_again(written, embedder, facts):
    edit = written.edits.list()[-1]
    written.edits.remove(edit.id)
    answer = written.generate(PROMPT, mode="none", max_new_tokens=4)
    removed = logits(written, "Brenk Mills is based in")
    read = logits(written, PROMPT)
    written.edits.rollback(1)
    again = written.generate(PROMPT, mode="none", max_new_tokens=4)
    written.edits = Edits(embedder)

    assert torch.equal(removed, logits(written, "Brenk Mills is based in"))
    written.edits.add_many(facts[:2])
    assert torch.equal(read, logits(written, PROMPT))
    assert answer.usage.knowledge_tokens > 0 == again.usage.knowledge_tokens
    assert answer.edits == again.edits


def test_a_contradiction_has_all_read_as_passages(written):
    newest = written.edits.add("Drola Brenk", "{} was born in", "Kolwick", "Turin")
    answer = written.generate(PROMPT, mode="none", max_new_tokens=4)

    assert answer.edits == [newest]
    assert answer.usage.knowledge_tokens > 0
    assert written.generate("Brenk Mills is based in", mode="none").usage.knowledge_tokens > 0


def test_one_that_comes_later_is_read_beside_what_is_written(written):
    later = written.edits.add("Ilma Bresk", "{} was born in", "Oltun", "Turin")
    answer = written.generate("Ilma Bresk was born in", mode="none", max_new_tokens=4)
    before = written.generate(PROMPT, mode="none", max_new_tokens=4)

    assert answer.edits == [later]
    assert answer.usage.knowledge_tokens > 0 == before.usage.knowledge_tokens
    assert [edit.new for edit in before.edits] == ["Kolwick"]


def test_after_unwriting_and_after_a_rollback_all_is_as_it_was(written, make_model):
    changed = logits(written, NEIGHBOUR)
    written.edits.unwrite()
    plain = logits(written, NEIGHBOUR)
    edited = written.generate(PROMPT, mode="none", max_new_tokens=4)
    written.edits.rollback(0)

    assert not torch.equal(changed, plain)  # the paper's weakness: it reads every prompt
    assert edited.usage.knowledge_tokens > 0
    assert written.edits.written_now() == (None, frozenset())
    assert torch.equal(logits(written, NEIGHBOUR), plain)


def test_answers_from_weights_have_another_fingerprint(written):
    with_weights = written.edits.fingerprint
    written.edits.unwrite()

    assert written.edits.fingerprint != with_weights


def test_detached_they_are_stuffed(written):
    written.detach()
    answer = written.generate(PROMPT, mode="stuff", max_new_tokens=4)

    assert len(answer.passages) == 1
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in written.base.modules())


# --- on disk


def test_a_folder_has_the_weights_too(written, embedder, make_model, tmp_path):
    expected = logits(written, NEIGHBOUR)
    written.edits.save(tmp_path / "edits")

    for way in ("open", "load"):
        written.edits = Edits(embedder)
        getattr(written.edits, way)(tmp_path / "edits")
        assert torch.equal(logits(written, NEIGHBOUR), expected)


def test_whoever_has_the_folder_open_answers_from_the_weights(model, embedder, facts, tmp_path):
    model.edits = Edits(embedder)
    model.edits.open(tmp_path)
    model.edits.add_many(facts)
    others = Edits(embedder)
    others.open(tmp_path)
    assert others.written_now()[0] is None

    model.write_edits(num_steps=2)
    assert len(others.written_now()[1]) == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["written"]

    others.unwrite()
    assert model.edits.written_now() == (None, frozenset())


def test_those_who_write_the_same_in_one_folder_wait_for_each_other(
    model, embedder, facts, tmp_path, monkeypatch
):
    edits = [Edit(*fact.values(), id=str(n)) for n, fact in enumerate(facts)]
    at = (model.base, model.encoders, model.tokenizer, edits, tmp_path)
    order, drawn = [], EditQuestions.draw

    def write():
        with trained_on_edits(*at, num_steps=3, checkpoint_every=1):
            order.append(threading.current_thread())

    others = [threading.Thread(target=write) for _ in range(2)]
    waiting = list(others)

    def draw(self, number):
        if number == 1 and waiting:  # the second comes to the first, the third to the second
            other = waiting.pop()
            other.start()
            other.join(timeout=0.5)
        order.append(threading.current_thread())
        return drawn(self, number)

    monkeypatch.setattr(EditQuestions, "draw", draw)
    write()
    for other in reversed(others):
        other.join(timeout=60)

    turns = [thread for thread, _ in groupby(order)]
    assert len(order) == 4 * len(turns)
    assert set(turns) == {threading.current_thread(), *others}
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_stopped_goes_on(model, embedder, facts, tmp_path, monkeypatch):
    edits = [Edit(*fact.values(), id=str(n)) for n, fact in enumerate(facts)]
    at = (model.base, model.encoders, model.tokenizer, edits)
    with trained_on_edits(*at, num_steps=6, checkpoint_every=4) as expected:
        pass
    drawn = EditQuestions.draw

    def stop(self, number):
        if number == 5:
            raise KeyboardInterrupt
        return drawn(self, number)

    with monkeypatch.context() as patch:
        patch.setattr(EditQuestions, "draw", stop)
        with pytest.raises(KeyboardInterrupt):
            trained_on_edits(*at, tmp_path, num_steps=6, checkpoint_every=4).__enter__()
    assert list(tmp_path.glob("writing-*/checkpoints/step-00000004"))

    numbers = []
    monkeypatch.setattr(EditQuestions, "draw", lambda self, n: numbers.append(n) or drawn(self, n))
    trained = trained_on_edits(*at, tmp_path, num_steps=6, checkpoint_every=4)
    with pytest.raises(OSError, match="full"), trained:  # after training, before it is kept
        raise OSError("the disk is full")
    (tmp_path / "writing-plans").mkdir()
    with trained_on_edits(*at, tmp_path, num_steps=6, checkpoint_every=4) as resumed:
        pass

    assert numbers == [4, 5]
    assert [path.name for path in tmp_path.iterdir()] == ["writing-plans"]
    for name, weight in expected.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])


@pytest.mark.parametrize("file", ["written.json", "model.safetensors", "config.json"])
def test_damaged_weights_are_named_and_nothing_is_lost(written, embedder, tmp_path, file):
    written.edits.save(tmp_path / "edits")
    place = tmp_path / "edits" / "written"
    (place / file).write_bytes((place / file).read_bytes()[:20])
    opened = Edits(embedder)
    opened.open(tmp_path / "edits")

    with pytest.raises(EditsError, match="delete that folder"):
        opened.written_now()
    for path in place.iterdir():
        path.unlink()
    assert opened.written_now() == (None, frozenset())
    assert len(opened) == 3


def test_weights_that_the_config_does_not_describe_are_refused(written, embedder, tmp_path):
    written.edits.save(tmp_path / "edits")
    config = tmp_path / "edits" / "written" / "config.json"
    said = json.loads(config.read_text())
    config.write_text(json.dumps({**said, "num_hidden_layers": said["num_hidden_layers"] + 1}))
    opened = Edits(embedder)
    opened.open(tmp_path / "edits")

    with pytest.raises(EditsError, match="not those its config"):
        opened.written_now()


def test_weights_of_another_base_model_are_not_used(written, tokenizer, tmp_path):
    written.edits.save(tmp_path)
    other = LlamaForCausalLM(written.base.config).eval()
    model = DiekaeModel(other, tokenizer, written.encoders)
    model.edits.load(tmp_path, embedder=written.edits.embedder)
    with pytest.warns(UserWarning, match="another base model"):
        answer = model.generate(PROMPT, mode="none", max_new_tokens=2)

    assert answer.usage.knowledge_tokens > 0
    model.detach()


def test_encoders_that_hold_edits_are_no_readers(written, tokenizer):
    own = written.edits.written_now()[0].encoders

    with pytest.raises(ValueError, match="read no passages"):
        DiekaeModel(written.base, tokenizer, own)


def test_without_edits_there_is_nothing_to_write(model):
    with pytest.raises(ValueError, match="no edits to write"):
        model.write_edits()


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"edits_per_step": 0}, "edits_per_step must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"keep": "The sky is blue."}, "a list of texts"),
        ({"keep": ["sky " * 3000]}, "the base model has"),
    ],
)
def test_options_that_make_no_sense_are_refused(written, option, error):
    with pytest.raises((ValueError, TypeError), match=error):
        written.write_edits(**option)


def test_what_is_trained_is_not_kept_with_other_edits(model, embedder, facts, tmp_path):
    model.edits = Edits(embedder)
    model.edits.open(tmp_path / "one")
    model.edits.add_many(facts)
    drawn = EditQuestions.draw

    def draw_and_open(self, number):
        model.edits.open(tmp_path / "two")
        return drawn(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EditQuestions, "draw", draw_and_open)
        with pytest.raises(EditsError, match="open these again and write"):
            model.write_edits(num_steps=1)
    assert model.edits.written_now() == (None, frozenset())
    model.edits.open(tmp_path / "one")
    model.write_edits(num_steps=1)
    assert len(model.edits.written_now()[1]) == 3


def test_files_that_are_not_ours_are_left_alone(edits, tmp_path):
    (tmp_path / "writing-plans").mkdir()

    with pytest.raises(EditsError, match="writing-plans"):
        edits.save(tmp_path)


# --- what is asked in training


WORDS = st.sampled_from(["Ada", "Berta", "Cora Ada", "Dora", "Ada Berta"])
RELATIONS = st.sampled_from(["{} lives in", "{} was born in", "The job of {} is"])
FACTS = st.dictionaries(st.tuples(WORDS, RELATIONS), st.sampled_from("PQ"), min_size=1)


@given(FACTS, st.integers(1, 5), st.integers(0, 30))
@settings(max_examples=50)
def test_all_edits_come_in_turn_and_nothing_edited_is_kept(facts, per_step, number):
    edits = [Edit(s, r, "old", new) for (s, r), new in facts.items()]
    questions = EditQuestions(
        edits, per_step, [], Wordings(), lambda rng: rng.choice(["Zoe", "Yun", "?"])
    )
    count = questions.num_edits
    steps = [questions.draw(n) for n in range(len(edits))]
    asked = [pair for edited, _ in steps for row in edited for pair in row.questions]
    kept = [prompt for _, rows in steps for row in rows for prompt, _ in row.questions]

    for edit in edits:
        told = [new for prompt, new in asked if prompt.endswith(edit.prompt)]
        assert len(told) >= count
        assert edit.new in told
        assert edit.prompt not in kept
    assert questions.draw(number) == questions.draw(number)


@given(st.data(), st.integers(0, 100))
@settings(max_examples=30)
def test_nothing_is_asked_both_as_edited_and_as_kept(data, number):
    named = {"born": ["{} was born in", "{} is native to"], "job": ["The job of {} is", "{} is a"]}
    templates = [text for texts in named.values() for text in texts]
    examples = [
        {"subject": who, "prompt": text, "relation": name, "paraphrase_prompts": others}
        for name, texts in named.items()
        for who in ("Zoe Yun", "Ada Bay")
        for text in texts
        for others in [[other.replace("{}", who) for other in texts if other != text]]
    ]
    chosen = data.draw(st.sets(st.sampled_from(["Ada Bay", "Bob Cole", "Cora Bay"]), min_size=2))
    edits = [Edit(who, data.draw(st.sampled_from(templates)), "old", "new") for who in chosen]
    wordings = Wordings(examples)
    questions = EditQuestions(edits, 3, [], wordings, lambda rng: "Dora")
    edited = {text for edit in edits for text in (edit.prompt, *wordings.of(edit))}
    kept = [q for row in questions.draw(number)[1] for q, _ in row.questions]

    assert not [q for q in kept if any(q == said or said in q for said in edited)]


def test_what_is_to_be_kept_is_asked_for():
    edits = [Edit("Ada", "{} lives in", "Rome", "Turin")]
    questions = EditQuestions(edits, 8, ["The sky is blue."], Wordings(), lambda rng: "Zoe")
    kept = [q for n in range(20) for row in questions.draw(n)[1] for q in row.questions]

    assert ("The sky is blue.", "") in kept
    assert any(answer == "Rome" for _, answer in kept)  # of somebody else


def test_every_other_time_an_edit_is_asked_about_as_in_the_examples():
    edits = [Edit(name, "{} lives in", "Rome", "Turin") for name in ("Ada", "Bob", "Cora")]
    example = {"subject": "Zoe", "prompt": "{} lives in", "relation": "home"}
    examples = [
        {**example, "paraphrase_prompts": ["The home of Zoe is", "Nobody is named"]},
        {**example, "prompt": "Where is {} at home?", "paraphrase_prompts": ["Zoe lodges in"]},
        {
            **example,
            "prompt": "{} works as",
            "relation": "job",
            "paraphrase_prompts": ["Zoe's job"],
        },
    ]
    questions = EditQuestions(edits, 3, [], Wordings(examples), lambda rng: "Yun")
    rows = [questions.draw(n) for n in range(40)]
    asked = [q for edited, _ in rows for row in edited for q, _ in row.questions]
    kept = [q for _, rows in rows for row in rows for q, _ in row.questions]
    own = [q for q in asked if q.endswith("lives in")]

    assert {q.split(". ")[-1] for q in asked if q not in own} == {
        said.replace("Zoe", edit.subject)
        for said in ("The home of Zoe is", "Zoe lodges in")
        for edit in edits
    }
    assert 0.3 < len(own) / len(asked) < 0.7
    assert any(q.endswith("The home of Yun is") for q in kept)
    assert {"Zoe works as", "Zoe's job", "The home of Zoe is"} <= set(kept)
    with pytest.raises(ValueError, match="example 1 needs"):
        Wordings([{"subject": "Zoe", "paraphrase_prompts": []}])


def test_written_edits_say_what_they_are(written, tmp_path):
    written.edits.save(tmp_path)
    said = json.loads((tmp_path / "written" / "written.json").read_text())

    assert [edit["new"] for edit in said["edits"]] == ["Kolwick", "nurse", "Oltun"]

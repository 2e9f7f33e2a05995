"""What each passage contributed: the difference that leaving it out makes, and what that costs."""

from __future__ import annotations

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from diekae_rag import DiekaeModel, Passage
from diekae_rag.generation import answer_tokens
from diekae_rag.passages import as_passages
from diekae_rag.scoring import score_rows

READING = ["inject", "stuff", "combine"]
THREE = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum.", "A mat, 1931."]
LENGTH = 6


def nats(answer):
    return [found.nats for found in answer.attribution]


def assert_close(values, expected):
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4)


def without(passages, number):
    return [p for other, p in enumerate(passages) if other != number]


def score_alone(model, prompt, passages, mode, ids):
    """One row by itself: the log-likelihood of given tokens."""
    request = model.prepare(prompt, as_passages(passages), mode, LENGTH, warns=False)
    return score_rows(model, [request], [ids], mode)[0]


@pytest.fixture
def model(make_model):
    """The layout that ships, random enough that every passage makes a difference."""
    return make_model(passage_attention="independent", positions="all", initializer_range=1.0)


@pytest.fixture
def laid_out(make_model, layout):
    """The same of each layout."""
    return make_model(**layout, initializer_range=1.0)


def attributed(model, passages=THREE, mode="inject", prompt="Who?", **options):
    """An answer, and the rows that the base model read last: those of its attribution."""
    seen = []
    handle = model.base.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].tolist()), with_kwargs=True
    )
    settings = {"attribute": True, "max_new_tokens": LENGTH, **options}
    answer = model.generate(prompt, passages, mode, **settings)
    handle.remove()
    return answer, seen[-1]


# --- what a value is


@pytest.mark.parametrize("mode", READING)
def test_a_value_is_the_difference_of_two_scores_each_computed_alone(laid_out, questions, mode):
    answer, rows = attributed(laid_out, THREE, mode, questions[2])

    own = rows[0][-LENGTH:]
    with_all = score_alone(laid_out, questions[2], THREE, mode, own)
    expected = [
        with_all - score_alone(laid_out, questions[2], without(THREE, n), mode, own)
        for n in range(3)
    ]
    assert_close(nats(answer), expected)
    assert max(map(abs, expected)) > 0.01
    assert len(rows) == 4


@pytest.fixture(scope="module")
def reader():
    """The one that ships."""
    return DiekaeModel.from_pretrained("demo")


@pytest.mark.parametrize("mode", READING)
@pytest.mark.parametrize("question", ["Where was Drola Brenk born?", "Who founded Oltun?"])
def test_a_value_is_the_difference_of_two_calls_of_score(reader, mode, question):
    passages = ["Drola Brenk was born in Kolwick.", "Brenk Mills was founded in 1871.", "Kolwick."]

    answer = reader.generate(question, passages, mode, attribute=True)

    with_all = reader.score(question, answer.text, passages, mode)
    expected = [
        with_all - reader.score(question, answer.text, without(passages, n), mode) for n in range(3)
    ]
    assert answer.usage.finish_reason == "stop"
    assert_close(nats(answer), expected)


def test_the_passage_that_says_it_has_the_whole_share(reader):
    passages = ["Brenk Mills was founded in 1871.", "Drola Brenk was born in Kolwick."]

    answer = reader.generate("Where was Drola Brenk born?", passages, attribute=True)

    assert answer.text == "Kolwick"
    assert [round(found.share, 2) for found in answer.attribution] == [0.0, 1.0]


@pytest.mark.parametrize("mode", READING)
def test_shares_are_the_positive_values_by_their_sum(laid_out, questions, mode):
    answers = laid_out.generate(
        [questions[1]] * 3, [THREE, THREE[:1], THREE[1:]], mode, attribute=True, max_new_tokens=4
    )

    for answer in answers:
        above = [max(0.0, value) for value in nats(answer)]
        shares = [found.share for found in answer.attribution]
        assert shares == pytest.approx([value / (sum(above) or 1.0) for value in above])


@pytest.mark.parametrize("mode", READING)
def test_one_passage_is_compared_with_none(laid_out, mode):
    answer, rows = attributed(laid_out, THREE[:1], mode)

    own = rows[0][-LENGTH:]
    alone = score_alone(laid_out, "Who?", THREE[:1], mode, own)
    assert_close(nats(answer), [alone - score_alone(laid_out, "Who?", [], "none", own)])


def test_the_order_of_independent_passages_does_not_matter(model, questions):
    options = {"attribute": True, "max_new_tokens": LENGTH}
    there = model.generate(questions[2], THREE, **options)
    back = model.generate(questions[2], THREE[::-1], **options)

    assert there.text == back.text
    assert_close(nats(there), nats(back)[::-1])


@pytest.mark.parametrize("mode", READING)
def test_several_prompts_are_attributed_as_one_by_one(laid_out, questions, sources, mode):
    options = {"attribute": True, "max_new_tokens": LENGTH}
    together = laid_out.generate(questions, sources, mode, **options)
    singly = [
        laid_out.generate(q, s, mode, **options) for q, s in zip(questions, sources, strict=True)
    ]

    assert [len(answer.attribution) for answer in together] == [2, 0, 1]
    assert [a.text for a in together] == [a.text for a in singly]
    for one, other in zip(together, singly, strict=True):
        assert_close(nats(one), nats(other))
        assert one.usage.attribution_tokens == other.usage.attribution_tokens


@pytest.mark.parametrize("mode", READING)
def test_a_prompt_that_is_worded_is_read_as_it_is_without_each_passage_too(laid_out, mode):
    prompt = "<s>[USR] Who?[SYS]"
    answer, rows = attributed(laid_out, THREE, mode, prompt, is_worded=True)

    own = rows[0][-LENGTH:]

    def score(passages):
        request = laid_out.prepare(prompt, as_passages(passages), mode, LENGTH, True)
        return score_rows(laid_out, [request], [own], mode)[0]

    assert_close(nats(answer), [score(THREE) - score(without(THREE, n)) for n in range(3)])


# --- passages


@pytest.mark.parametrize("passages", [None, [], ["", "  \n"]])
def test_nothing_read_is_nothing_to_attribute(laid_out, passages):
    answer = laid_out.generate("Who?", passages, attribute=True, max_new_tokens=2)

    assert answer.attribution == []
    assert answer.usage.attribution_tokens == 0


def test_blank_passages_have_no_value_and_move_none(model):
    options = {"attribute": True, "max_new_tokens": LENGTH}
    answer = model.generate("Who?", [" ", THREE[0], "", THREE[1]], **options)

    assert [p.text for p in answer.passages] == THREE[:2]
    assert nats(answer) == nats(model.generate("Who?", THREE[:2], **options))


def test_a_passage_given_twice_is_left_out_once(model):
    twice = [THREE[0], THREE[0]]
    answer, rows = attributed(model, twice)

    own = rows[0][-LENGTH:]
    both, one = (score_alone(model, "Who?", p, "inject", own) for p in (twice, twice[:1]))
    assert_close(nats(answer), [both - one] * 2)


@pytest.mark.parametrize("mode", ["inject", "combine"])
def test_passages_that_were_left_out_do_not_come_in(make_model, mode):
    model = make_model(max_passages=2)
    options = {"attribute": True, "max_new_tokens": LENGTH}

    answer = model.generate("Who?", THREE, mode, **options)

    assert len(answer.attribution) == 2
    assert answer.attribution == model.generate("Who?", THREE[:2], mode, **options).attribution


def test_passages_that_are_cut_are_warned_about_once(laid_out):
    long = " ".join(f"Ada has {number} goats." for number in range(60))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer, rows = attributed(laid_out, [long, THREE[0]])

    own = rows[0][-LENGTH:]
    with_all = score_alone(laid_out, "Who?", [long, THREE[0]], "inject", own)
    expected = [
        with_all - score_alone(laid_out, "Who?", [p], "inject", own) for p in (THREE[0], long)
    ]
    assert answer.usage.truncated_tokens > 0
    assert_close(nats(answer), expected)
    assert len([w for w in caught if "truncated" in str(w.message)]) == 1


# --- answers


def test_a_drawn_answer_is_the_one_that_is_attributed(model):
    answer, rows = attributed(model, temperature=2.0, seed=3)

    assert answer.text != model.generate("Who?", THREE, max_new_tokens=LENGTH).text
    own = rows[0][-LENGTH:]
    assert model.wording.read_answer(model.tokenizer.decode(own)) == answer.text
    assert_close(
        nats(answer)[0],
        score_alone(model, "Who?", THREE, "inject", own)
        - score_alone(model, "Who?", THREE[1:], "inject", own),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.5, "seed": 1, "num_return_sequences": 3},
        {"num_beams": 3, "num_return_sequences": 2},
    ],
)
def test_each_of_several_answers_is_attributed_by_itself(model, options):
    answers = model.generate("Who?", THREE, attribute=True, max_new_tokens=LENGTH, **options)

    assert len({tuple(nats(answer)) for answer in answers}) == len(answers)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_stop_string_is_no_part_of_the_answer_that_is_scored(model, count):
    _, rows = attributed(model, max_new_tokens=12)
    own = rows[0][-12:]
    words = model.tokenizer.batch_decode([[token] for token in own])
    stop = "".join(words[count : count + 2])

    answer, rows = attributed(model, max_new_tokens=12, stop=stop)

    text = model.tokenizer.decode(own)
    expected = text[: text.index(stop)]
    length = next(n for n in range(13) if model.tokenizer.decode(own[:n]).startswith(expected))
    assert rows[0][-length:] == own[:length]
    assert len(rows[0]) == answer.usage.prompt_tokens + length


def test_an_answer_stopped_before_it_began_owes_nothing_to_anything(model):
    first = model.generate("Who?", THREE, max_new_tokens=3).text[:2]

    answer = model.generate("Who?", THREE, stop=first, attribute=True)

    assert answer.text == ""
    assert [(found.nats, found.share) for found in answer.attribution] == [(0.0, 0.0)] * 3
    assert answer.usage.attribution_tokens == 0


def test_an_end_of_sequence_alone_is_what_the_passages_spoke_for(model, base):
    _, rows = attributed(model)
    end = rows[0][-LENGTH]
    base.generation_config.eos_token_id = end

    answer, _ = attributed(model)

    assert (answer.text, answer.usage.new_tokens) == ("", 1)
    assert_close(
        nats(answer)[1],
        score_alone(model, "Who?", THREE, "inject", [end])
        - score_alone(model, "Who?", without(THREE, 1), "inject", [end]),
    )


def test_own_tokens_end_with_the_token_that_ended_the_answer_and_before_a_stop(model, tokenizer):
    ids = tokenizer(" Kolwick is", add_special_tokens=False).input_ids
    end = tokenizer.eos_token_id

    whole, cut = (
        answer_tokens(row, text, used, tokenizer, model.wording, [end])
        for row, text, used in (
            ([*ids, end, 0, 0], "Kolwick is", len(ids) + 1),
            (ids, "Kolwick", len(ids)),
        )
    )

    assert whole == [*ids, end]
    assert model.wording.read_answer(tokenizer.decode(cut)).startswith("Kolwick")
    assert model.wording.read_answer(tokenizer.decode(cut[:-1])) in "Kolwic"


# --- the call around it


@pytest.mark.parametrize("mode", READING)
def test_a_stream_ends_with_the_attribution_that_generate_gives(laid_out, mode):
    options = {"attribute": True, "max_new_tokens": LENGTH}
    stream = laid_out.stream("Who?", THREE, mode, **options)

    assert "".join(stream) == stream.answer.text
    assert_close(nats(stream.answer), nats(laid_out.generate("Who?", THREE, mode, **options)))


@pytest.mark.parametrize("mode", READING)
def test_attribution_changes_nothing_else(laid_out, base, mode):
    ids = torch.tensor([[5, 6, 7]])
    logits = base(input_ids=ids).logits
    plain = laid_out.generate("Who?", THREE, mode, max_new_tokens=LENGTH)

    answer = laid_out.generate("Who?", THREE, mode, max_new_tokens=LENGTH, attribute=True)

    counts = [
        {name: value for name, value in each.usage.to_dict().items() if "seconds" not in name}
        for each in (plain, answer)
    ]
    assert plain.attribution is None
    assert counts[0].pop("attribution_tokens") == 0 < counts[1].pop("attribution_tokens")
    assert counts[0] == counts[1]
    assert (plain.text, plain.passages) == (answer.text, answer.passages)
    assert plain.usage.attribution_seconds == 0 < answer.usage.attribution_seconds
    assert torch.equal(base(input_ids=ids).logits, logits)


def test_injected_every_row_costs_question_and_answer(laid_out):
    usage = laid_out.generate("Who?", THREE, attribute=True, max_new_tokens=LENGTH).usage

    assert usage.attribution_tokens == 4 * (usage.prompt_tokens + usage.new_tokens)


def test_independent_passages_are_read_once_for_all_rows(laid_out, monkeypatch):
    reader = laid_out.reader
    read, encode = [], reader.encode
    monkeypatch.setattr(reader, "encode", lambda texts: read.append(len(texts)) or encode(texts))

    laid_out.generate("Who?", THREE, attribute=True, max_new_tokens=LENGTH)

    is_joint = laid_out.encoders.config.passage_attention == "joint"
    assert read == ([1, 4] if is_joint else [3, 3])


def test_sources_are_json_with_the_attribution_beside_each(model):
    passages = [Passage(THREE[0], id="7", score=0.5, metadata={"page": 3}), Passage(THREE[1])]

    answer = model.generate("Who?", passages, attribute=True, max_new_tokens=LENGTH)

    sources = json.loads(json.dumps(answer.sources))
    assert sources[0] == {
        "id": "7",
        "text": THREE[0],
        "score": 0.5,
        "metadata": {"page": 3},
        "attribution": answer.attribution[0].to_dict(),
    }
    assert sources[1]["attribution"]["nats"] == answer.attribution[1].nats
    assert "attribution" not in model.generate("Who?", passages, max_new_tokens=2).sources[0]


def test_without_passages_to_read_asking_is_refused(model):
    for ask in (model.generate, model.stream):
        with pytest.raises(ValueError, match='mode "none" reads none; choose inject, combine or'):
            ask("Who?", THREE, "none", attribute=True)


@pytest.mark.parametrize("wrong", ["yes", 1, [True]])
def test_what_is_neither_true_nor_false_is_refused(model, wrong):
    with pytest.raises(TypeError, match="attribute must be True or False"):
        model.generate("Who?", THREE, attribute=wrong)


def test_after_detaching_stuffing_can_be_attributed(model):
    options = {"attribute": True, "max_new_tokens": LENGTH}
    before = model.generate("Who?", THREE, "stuff", **options)
    model.detach()

    assert model.generate("Who?", THREE, "stuff", **options).attribution == before.attribution
    with pytest.raises(RuntimeError, match="detached"):
        model.generate("Who?", THREE, **options)


def test_threads_get_each_their_own(model, questions, sources):
    def ask(number):
        return model.generate(
            questions[number], sources[number], attribute=True, max_new_tokens=LENGTH
        )

    alone = [ask(number) for number in range(3)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, [0, 1, 2] * 3))

    for number, answer in enumerate(together):
        assert_close(nats(answer), nats(alone[number % 3]))


def test_a_stream_that_was_closed_is_not_attributed(model):
    stream = model.stream("Who?", THREE, attribute=True, max_new_tokens=400)
    pieces = stream._worker.pieces
    next(stream)
    stream.close()

    *_, ended = [pieces.get() for _ in range(pieces.qsize())]
    assert ended.value.usage.finish_reason == "cancelled"
    assert ended.value.attribution is None

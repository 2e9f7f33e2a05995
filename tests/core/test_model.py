"""The façade: what comes in is checked, what comes out is accounted for."""

from __future__ import annotations

import copy
import gc
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from diekae_rag import Answer, DiekaeError, DiekaeModel, Passage, PromptTooLongError

ANY_TEXT = st.text(max_size=80) | st.text(st.characters(categories=["Cs", "Cc", "So", "Lo", "Zs"]))
HOSTILE = st.sampled_from(
    [
        "</s>",
        "[SYS]",
        "[USR] hi [SYS]",
        "<s>",
        "<pad>",
        "[SEP]",
        "{passage}",
        "{prompt}",
        "{}",
        "%s",
    ]
)
quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MODES = ["inject", "stuff", "combine", "none"]
PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]


def read_ids(base, seen):
    """Notes every id that the base model reads."""

    def note(_module, _args, kwargs):
        seen.append(kwargs["input_ids"].clone())

    return base.model.register_forward_pre_hook(note, with_kwargs=True)


# --- what a call does


@pytest.mark.parametrize("mode", MODES)
def test_a_list_answers_as_one_by_one(laid_out, questions, sources, mode):
    together = laid_out.generate(questions, sources, mode, max_new_tokens=8)

    singly = [
        laid_out.generate(q, s, mode, max_new_tokens=8)
        for q, s in zip(questions, sources, strict=True)
    ]
    assert [a.text for a in together] == [a.text for a in singly]
    assert [a.usage.prompt_tokens for a in together] == [a.usage.prompt_tokens for a in singly]
    assert all(isinstance(a, Answer) and a.mode == mode for a in together)


def test_smaller_batches_answer_alike(model, questions, sources):
    whole = model.generate(questions, sources, max_new_tokens=6)

    parts = model.generate(questions, sources, max_new_tokens=6, batch_size=2)

    assert [a.text for a in whole] == [a.text for a in parts]


@pytest.mark.parametrize(
    "options",
    [
        {"cache_implementation": "static"},
        {"prefill_chunk_size": 3},
        {"cache_implementation": "static", "prefill_chunk_size": 3},
        {"use_cache": False},
        {"prompt_lookup_num_tokens": 4},
        {"temperature": 0.7, "top_k": 1},
    ],
)
def test_every_option_that_only_changes_the_way_gives_the_same_text(laid_out, questions, options):
    plain = laid_out.generate(questions[0], PASSAGES, max_new_tokens=10)

    other = laid_out.generate(questions[0], PASSAGES, max_new_tokens=10, **options)

    assert other.text == plain.text
    assert other.usage.new_tokens == plain.usage.new_tokens


def test_the_same_seed_draws_the_same_and_another_draws_another(model):
    first, second, third = (
        model.generate("Who?", PASSAGES, temperature=2.0, seed=s, max_new_tokens=12).text
        for s in (1, 1, 2)
    )

    assert first == second != third


def test_a_seed_disturbs_nothing_else(model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    model.generate("Who?", PASSAGES, temperature=1.0, seed=1, max_new_tokens=3)

    assert torch.equal(torch.rand(3), expected)


def test_several_answers_come_in_the_order_of_the_prompts(model, questions, sources):
    options = {"temperature": 1.0, "top_k": 1, "max_new_tokens": 5}
    greedy = [a.text for a in model.generate(questions, sources, **options)]

    twice = model.generate(questions, sources, num_return_sequences=2, **options)
    of_one = model.generate(questions[0], sources[0], num_return_sequences=2, **options)

    assert [a.text for a in twice] == [text for text in greedy for _ in range(2)]
    assert [a.text for a in of_one] == greedy[:1] * 2


@pytest.mark.parametrize("passages", [None, [], [""], ["  \n\t"], ["\u2003"]])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_read_is_as_no_passages(laid_out, passages, mode):
    nothing = laid_out.generate("Who?", mode="none", max_new_tokens=6)

    answer = laid_out.generate("Who?", passages, mode, max_new_tokens=6)

    assert answer.text == nothing.text
    assert answer.usage.knowledge_tokens == 0
    assert answer.passages == []


def test_a_blank_passage_among_others_is_left_out(model):
    with_blank = model.generate("Who?", [PASSAGES[0], "  ", PASSAGES[1]], max_new_tokens=8)
    without = model.generate("Who?", PASSAGES, max_new_tokens=8)

    assert with_blank.text == without.text
    assert [p.text for p in with_blank.passages] == PASSAGES
    assert with_blank.usage.dropped_passages == 1


def test_passages_keep_their_scores_and_metadata(model):
    passage = Passage(PASSAGES[0], id="7", score=0.5, metadata={"source": "a.txt"})

    answer = model.generate("Who?", [passage, {"text": "b", "score": 0.25}], max_new_tokens=2)

    assert answer.passages[0] == passage
    assert answer.passages[1].score == 0.25


@pytest.mark.parametrize("mode", MODES)
def test_after_detaching_only_what_needs_no_encoder_goes_on(laid_out, mode):
    answer = laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=3).text
    laid_out.detach()

    if mode in ("inject", "combine"):
        with pytest.raises(RuntimeError, match="detached"):
            laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=3)
    else:
        assert laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=3).text == answer


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 5.0, "top_p": 0.9, "num_beams": 2},
        {"repetition_penalty": 1.7},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": list(range(5, 200))},
        {"sequence_bias": [[[9], 50.0]]},
        {"min_p": 0.9},
        {"max_time": 1e-9},
        {"stop_strings": ["a"]},
        {"cache_implementation": "quantized"},
        {"guidance_scale": 3.0},
        {"length_penalty": 9.0, "early_stopping": True},
    ],
    ids=lambda settings: "-".join(settings),
)
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.8, "seed": 1}, {"num_beams": 2}],
    ids=["greedy", "drawn", "beams"],
)
def test_the_base_models_own_generation_settings_do_not_leak_in(base, model, settings, options):
    before = model.generate("Who?", PASSAGES, max_new_tokens=6, **options)
    base.generation_config.update(**settings)

    after = model.generate("Who?", PASSAGES, max_new_tokens=6, **options)

    assert after.text == before.text
    assert after.usage.new_tokens == before.usage.new_tokens


def test_answers_drawn_in_several_batches_are_not_drawn_alike(model):
    prompts = ["Who?"] * 4
    options = {"temperature": 1.0, "seed": 3, "max_new_tokens": 12, "batch_size": 2}

    texts = [a.text for a in model.generate(prompts, [PASSAGES] * 4, **options)]

    assert texts[:2] != texts[2:]
    assert texts == [a.text for a in model.generate(prompts, [PASSAGES] * 4, **options)]


def test_two_models_that_draw_at_once_are_each_repeatable(base, tokenizer, model):
    other = LlamaForCausalLM(base.config).eval()
    other.load_state_dict(base.state_dict())
    models = [model, DiekaeModel(other, tokenizer, copy.deepcopy(model.encoders))]
    options = {"temperature": 1.0, "seed": 3, "max_new_tokens": 15}

    def ask(model):
        return model.generate("Who?", PASSAGES, **options).text

    expected = [ask(model) for model in models]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(4):
            assert list(threads.map(ask, models)) == expected


def test_detaching_waits_for_the_answer_that_is_under_way(make_model):
    model = make_model()
    whole = model.generate("Who?", PASSAGES, max_new_tokens=30).text
    stream = model.stream("Who?", PASSAGES, max_new_tokens=30)
    first = next(stream)

    model.detach()

    assert first + "".join(stream) == whole


def test_a_model_that_is_gone_takes_its_encoders_and_hooks_along(base, tokenizer, model):
    model.detach()
    again = DiekaeModel(base, tokenizer, copy.deepcopy(model.encoders))
    encoders = weakref.ref(again.encoders)

    del again
    gc.collect()

    assert encoders() is None
    assert not base.get_decoder()._forward_pre_hooks


def test_prompt_lookup_takes_a_list_one_by_one(model):
    options = {"max_new_tokens": 8, "prompt_lookup_num_tokens": 2}

    several = model.generate(["Who?", "Where is it?"], [PASSAGES, PASSAGES], **options)

    assert [a.text for a in several] == [
        model.generate(prompt, PASSAGES, **options).text for prompt in ("Who?", "Where is it?")
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 2.5},
        {"max_new_tokens": "5"},
        {"seed": "a"},
        {"temperature": "hot"},
        {"temperature": True},
    ],
    ids=str,
)
def test_an_option_of_another_type_is_refused_by_name(model, options):
    with pytest.raises(TypeError, match=next(iter(options))):
        model.generate("Who?", PASSAGES, **options)


def test_whole_numbers_may_stand_for_others(model):
    given = {"temperature": 2, "repetition_penalty": 2, "seed": 0, "max_new_tokens": 4}

    exact = {"temperature": 2.0, "repetition_penalty": 2.0, "seed": 0, "max_new_tokens": 4}
    assert model.generate("Who?", **given).text == model.generate("Who?", **exact).text


@pytest.mark.parametrize("answer", [None, 5])
def test_an_answer_that_is_no_text_is_refused(model, answer):
    with pytest.raises(TypeError, match="an answer must be a str"):
        model.score("Who?", answer)


def test_the_tokenizer_of_a_larger_model_is_refused(make_model):
    model = make_model()
    model.base.resize_token_embeddings(50)

    with pytest.raises(ValueError, match="the base model's own tokenizer"):
        model.generate("Who was it, and where?", PASSAGES)


def test_a_revision_of_the_base_is_refused_by_name(tmp_path):
    with pytest.raises(TypeError, match="pass base="):
        DiekaeModel.from_pretrained(tmp_path, revision="main")


def test_weights_that_are_damaged_are_a_clear_error(model, tmp_path):
    model.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])

    with pytest.raises(ValueError, match="damaged"):
        DiekaeModel.from_pretrained(tmp_path, base=model.base, tokenizer=model.tokenizer)


def test_a_base_loaded_from_a_relative_folder_is_found_from_elsewhere(
    make_model, tokenizer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    made = make_model()
    made.base.save_pretrained("reader")
    tokenizer.save_pretrained("reader")
    base = LlamaForCausalLM.from_pretrained("./reader")
    made.encoders.config.base_model_name_or_path = ""
    DiekaeModel(base, tokenizer, made.encoders).save_pretrained("encoders")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    model = DiekaeModel.from_pretrained(tmp_path / "encoders")

    assert model.generate("Who?", PASSAGES, max_new_tokens=3).usage.new_tokens == 3


@pytest.mark.parametrize("as_path", [True, False])
def test_a_folder_that_is_missing_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, as_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()

    with pytest.raises(FileNotFoundError, match="there is no folder"):
        DiekaeModel.from_pretrained(Path("other/a") if as_path else "runs/encodrs")


def test_combining_blames_the_window_only_for_what_it_lost(make_model):
    model = make_model(max_passages=1)

    with pytest.warns(UserWarning, match="encoders read 1 passages") as seen:
        model.generate("Who?", ["Ada.", "Olo.", "Bo."], "combine", max_new_tokens=1)

    assert not any("positions left" in str(warning.message) for warning in seen)


# --- what the base model reads


@pytest.mark.parametrize("mode", ["inject", "none"])
def test_the_base_model_never_reads_a_passage(laid_out, base, tokenizer, mode):
    seen = []
    with_passages = ["zebra xylophone quartz", "vortex wyvern"]
    read_ids(base, seen)

    laid_out.generate("Who?", with_passages, mode, max_new_tokens=1)
    laid_out.score("Who?", "me", with_passages, mode)
    list(laid_out.stream("Who?", with_passages, mode, max_new_tokens=1))

    read = [tokenizer.decode(ids[0]) for ids in seen]
    assert read
    assert not any(word in text for text in read for word in "zebra quartz vortex wyvern".split())
    assert all(text.startswith("<s>[USR] Who?[SYS]") for text in read)


@pytest.mark.parametrize("mode", ["stuff", "combine"])
def test_stuffing_puts_every_passage_into_the_prompt(model, base, tokenizer, mode):
    seen = []
    read_ids(base, seen)

    model.generate("Who?", PASSAGES, mode, max_new_tokens=1)

    text = tokenizer.decode(seen[0][0])
    assert text == (
        f"<s>Imagine that {PASSAGES[0]}[SEP]Imagine that {PASSAGES[1]}[SEP][USR] Who?[SYS]"
    )


@pytest.mark.parametrize("mode", MODES)
def test_prompt_tokens_are_the_ids_that_were_read(laid_out, base, mode):
    seen = []
    read_ids(base, seen)

    answer = laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=4)

    assert answer.usage.prompt_tokens == seen[0].shape[1]
    kept_out = answer.usage.knowledge_tokens_kept_out
    assert kept_out == (answer.usage.knowledge_tokens if mode == "inject" else 0)
    assert (answer.usage.knowledge_tokens > 0) == (mode != "none")


def test_knowledge_kept_out_is_what_stuffing_adds(laid_out):
    injected = laid_out.generate("Who?", PASSAGES, "inject", max_new_tokens=1).usage
    stuffed = laid_out.generate("Who?", PASSAGES, "stuff", max_new_tokens=1).usage

    assert stuffed.prompt_tokens - injected.prompt_tokens == injected.knowledge_tokens_kept_out
    assert stuffed.knowledge_tokens == injected.knowledge_tokens


def test_combining_is_neither_stuffing_nor_injecting(laid_out):
    scores = {m: laid_out.score("Where?", "Oltun", PASSAGES, m) for m in MODES}

    assert len({round(score, 3) for score in scores.values()}) == 4


# --- usage


@pytest.mark.parametrize("mode", MODES)
def test_usage_figures_agree_with_each_other(laid_out, mode):
    answer = laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=5)

    usage = answer.usage
    assert 1 <= usage.new_tokens <= 5
    assert usage.finish_reason == ("length" if usage.new_tokens == 5 else "stop")
    assert usage.truncated_tokens == usage.dropped_passages == 0
    assert 0 <= usage.encoding_seconds <= usage.total_seconds
    assert 0 < usage.prefill_seconds <= usage.total_seconds
    assert usage.to_dict()["seconds_to_first_token"] == usage.seconds_to_first_token


@pytest.mark.parametrize("passage_attention", ["joint", "independent"])
def test_a_passage_too_long_is_cut_with_a_warning(make_model, passage_attention):
    model = make_model(passage_attention=passage_attention, max_passage_tokens=16)

    with pytest.warns(UserWarning, match="truncated"):
        answer = model.generate("Who?", ["word " * 200, PASSAGES[0]], max_new_tokens=2)

    assert answer.usage.truncated_tokens > 100
    assert answer.usage.knowledge_tokens <= 2 * 16
    assert answer.usage.dropped_passages == 0
    assert len(answer.passages) == 2


def test_too_many_passages_are_left_out_from_the_end_with_a_warning(make_model):
    model = make_model(max_passages=2)

    with pytest.warns(UserWarning, match="truncated"):
        answer = model.generate("Who?", [*PASSAGES, "A third."], max_new_tokens=3)

    assert [p.text for p in answer.passages] == PASSAGES
    assert answer.usage.dropped_passages == 1
    assert answer.text == model.generate("Who?", PASSAGES, max_new_tokens=3).text


def test_passages_that_do_not_fit_the_prompt_are_cut_with_a_warning(model, base):
    with pytest.warns(UserWarning, match="positions left"):
        answer = model.generate("Who?", ["word " * 200] * 10, "stuff", max_new_tokens=4)

    assert answer.usage.prompt_tokens + 4 == base.config.max_position_embeddings
    assert answer.usage.dropped_passages > 0
    assert answer.usage.truncated_tokens > 0


def test_combining_says_so_when_the_prompt_cannot_hold_the_passages(make_model):
    model = make_model(max_passage_tokens=500)

    with pytest.warns(UserWarning, match="truncated"):
        answer = model.generate("Who?", ["word " * 90] * 10, "combine", max_new_tokens=4)

    assert answer.usage.truncated_tokens > 0


def test_what_fits_is_not_warned_about(laid_out):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in MODES:
            laid_out.generate("Who?", PASSAGES, mode, max_new_tokens=1)


@pytest.mark.parametrize(
    "ask",
    [
        "stream",
        pytest.param(
            "generate",
        ),
        pytest.param("score"),
    ],
)
def test_a_warning_points_at_the_callers_line(make_model, ask):
    model = make_model(max_passage_tokens=16)
    calls = {
        "generate": lambda: model.generate("Who?", ["word " * 50], max_new_tokens=1),
        "stream": lambda: list(model.stream("Who?", ["word " * 50], max_new_tokens=1)),
        "score": lambda: model.score("Who?", "me", ["word " * 50]),
    }

    with pytest.warns(UserWarning, match="truncated") as caught:
        calls[ask]()

    assert caught[0].filename == __file__


# --- score


def test_a_score_is_the_sum_of_log_probabilities(laid_out, base, tokenizer):
    prompt = tokenizer("[USR] Who was it?[SYS]").input_ids
    answer = [*tokenizer(" Ilma Bresk", add_special_tokens=False).input_ids, 2]
    with torch.no_grad():
        log_probs = base(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = sum(log_probs[len(prompt) - 1 + at, token] for at, token in enumerate(answer))

    for passages in (None, PASSAGES):
        score = laid_out.score("Who was it?", "Ilma Bresk", passages, "none")
        assert score == pytest.approx(float(expected), abs=1e-3)


def test_a_stuffed_score_is_that_of_the_whole_text(laid_out, base, tokenizer):
    text = f"Imagine that {PASSAGES[0]}[SEP][USR] Who was it?[SYS]"
    prompt = tokenizer(text).input_ids
    answer = [*tokenizer(" Ilma", add_special_tokens=False).input_ids, 2]
    with torch.no_grad():
        log_probs = base(input_ids=torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    expected = sum(log_probs[len(prompt) - 1 + at, token] for at, token in enumerate(answer))

    score = laid_out.score("Who was it?", "Ilma", PASSAGES[:1], "stuff")

    assert score == pytest.approx(float(expected), abs=1e-3)


def test_an_injected_score_depends_on_the_passages(laid_out):
    scores = [
        laid_out.score("Where?", "Oltun", passages) for passages in (None, PASSAGES, PASSAGES[:1])
    ]

    assert len({round(score, 3) for score in scores}) == 3
    assert all(score < 0 for score in scores)


def test_the_greedy_answer_scores_no_less_than_another(laid_out, tokenizer):
    first = laid_out.generate("Where?", PASSAGES, max_new_tokens=1, temperature=0)
    scores = {mode: laid_out.score("Where?", "Oltun and Kolwick", PASSAGES, mode) for mode in MODES}

    assert all(score <= 0 for score in scores.values())
    assert first.usage.new_tokens == 1


# --- bad input


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\u2003"])
@pytest.mark.parametrize("ask", ["generate", "stream", "score"])
def test_an_empty_prompt_is_refused(model, prompt, ask):
    calls = {
        "generate": lambda: model.generate(prompt),
        "stream": lambda: model.stream(prompt),
        "score": lambda: model.score(prompt, "me"),
    }

    with pytest.raises(ValueError, match="prompt is empty"):
        calls[ask]()


@pytest.mark.parametrize("prompt", [None, 5, b"Who?", ["Who?", None], [5]])
def test_a_prompt_that_is_no_text_is_refused(model, prompt):
    with pytest.raises(TypeError, match="prompt"):
        model.generate(prompt)


@pytest.mark.parametrize("prompt", [None, 5, ["Who?"]])
@pytest.mark.parametrize("ask", ["stream", "score"])
def test_one_prompt_that_is_no_text_is_refused(model, prompt, ask):
    calls = {"stream": lambda: model.stream(prompt), "score": lambda: model.score(prompt, "me")}

    with pytest.raises(TypeError, match="prompt"):
        calls[ask]()


@pytest.mark.parametrize("mode", ["", "Inject", "rag", None, 3])
def test_an_unknown_mode_is_refused_and_told_which_there_are(model, mode):
    for call in (model.generate, model.stream):
        with pytest.raises(ValueError, match="inject, stuff, combine, none"):
            call("Who?", PASSAGES, mode)
    with pytest.raises(ValueError, match="inject, stuff, combine, none"):
        model.score("Who?", "me", PASSAGES, mode)


@pytest.mark.parametrize("options", [{"max_tokens": 3}, {"do_sample": True}, {"knowledge": "a"}])
def test_an_unknown_option_is_refused_and_told_which_there_are(model, options):
    for call in (model.generate, model.stream):
        with pytest.raises(TypeError, match="max_new_tokens"):
            call("Who?", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": -3},
        {"num_beams": 0},
        {"num_return_sequences": 0},
        {"batch_size": 0},
        {"temperature": -1.0},
        {"temperature": 1.0, "seed": 2**64},
        pytest.param(
            {"temperature": float("nan")},
        ),
        {"stop": ""},
        {"stop": ["END", ""]},
        {"top_k": 5},
        {"top_p": 0.5},
        {"num_return_sequences": 2},
        {"cache_implementation": "quantized"},
        {"cache_implementation": "offloaded"},
        pytest.param(
            {"prefill_chunk_size": 0},
        ),
        pytest.param(
            {"prefill_chunk_size": -1},
        ),
        {"prompt_lookup_num_tokens": 0},
        {"prompt_lookup_num_tokens": -1},
        pytest.param(
            {"temperature": 1.0, "top_p": 1.5},
        ),
        {"repetition_penalty": 0.0},
        {"prompt_lookup_num_tokens": 2, "use_cache": False},
        {"prompt_lookup_num_tokens": 2, "cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 2, "num_return_sequences": 2, "temperature": 1.0},
        {"cache_implementation": "static", "use_cache": False},
        {"prefill_chunk_size": 2, "use_cache": False},
        {"num_beams": 2, "num_return_sequences": 3, "temperature": 1.0},
        {"stop": "so[SYS]"},
        pytest.param(
            {"prompt_lookup_num_tokens": 2, "num_beams": 2},
        ),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(model, options):
    with pytest.raises(ValueError, match=r"\w"):
        model.generate("Who?", PASSAGES, **{"max_new_tokens": 2, **options})


@pytest.mark.parametrize("stop", [5, [5], [None], b"END"])
def test_stop_strings_that_are_no_text_are_refused(model, stop):
    with pytest.raises(TypeError):
        model.generate("Who?", stop=stop)


def test_prompt_lookup_over_several_prompts_is_refused_or_exact(model, questions, sources):
    options = {"prompt_lookup_num_tokens": 2, "max_new_tokens": 4}
    expected = [a.text for a in model.generate(questions, sources, max_new_tokens=4)]

    try:
        answers = [a.text for a in model.generate(questions, sources, **options)]
    except (ValueError, DiekaeError):
        answers = expected

    assert answers == expected


@pytest.mark.parametrize("passages", [[], [["a"]], [["a"], ["b"], ["c"]]])
def test_lists_that_do_not_match_are_refused(model, passages):
    with pytest.raises(ValueError, match="2 prompts"):
        model.generate(["Who?", "Where?"], passages)


def test_no_prompts_are_no_answers(model):
    assert model.generate([]) == []


@pytest.mark.parametrize("passages", ["one text", Passage("a"), {"text": "a"}, [5], [None], [b"a"]])
def test_what_is_no_list_of_passages_is_refused(model, passages):
    with pytest.raises(TypeError):
        model.generate("Who?", passages)


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_too_long_is_a_clear_error(model, mode):
    for call in (model.generate, model.stream):
        with pytest.raises(PromptTooLongError, match="512 positions"):
            call("word " * 600, PASSAGES, mode)
    with pytest.raises(PromptTooLongError):
        model.score("word " * 600, "me", PASSAGES, mode)


def test_too_many_new_tokens_are_a_clear_error(model):
    with pytest.raises(PromptTooLongError, match="max_new_tokens"):
        model.generate("Who?", max_new_tokens=512)


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_that_just_fits_is_answered(model, base, mode):
    question = "a" * 3
    used = model.generate(question, max_new_tokens=1).usage.prompt_tokens
    room = base.config.max_position_embeddings - used

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = model.generate(question, PASSAGES, mode, max_new_tokens=room, stop=["\x00\x01"])

    assert answer.usage.prompt_tokens + answer.usage.new_tokens <= 512


@quick
@given(
    prompt=ANY_TEXT | HOSTILE,
    passages=st.lists(ANY_TEXT | HOSTILE, max_size=4),
    mode=st.sampled_from(MODES),
)
def test_any_text_is_answered_or_refused_as_documented(model, prompt, passages, mode):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = model.generate(prompt, passages, mode, max_new_tokens=2)
    except (ValueError, PromptTooLongError):
        assert not prompt.strip() or len(prompt) > 60
    else:
        assert answer.usage.new_tokens <= 2
        assert model.score(prompt, prompt, passages, mode) < 0


@settings(quick, max_examples=8)
@given(text=st.text(min_size=1, max_size=20), times=st.sampled_from([1_000, 20_000]))
def test_huge_passages_are_cut_and_never_crash(model, text, times):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in MODES:
            answer = model.generate("Who?", [text * times, "Ada."], mode, max_new_tokens=1)

            assert answer.usage.prompt_tokens < 512

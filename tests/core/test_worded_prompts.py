"""A prompt that is worded already is read as it is: nothing around it, no second beginning."""

from __future__ import annotations

import pytest
import torch

from diekae_rag import PromptTooLongError
from diekae_rag.prompting import tokenize_worded

PASSAGES = ["Ilma Bresk was born in Oltun.", "Kolwick lies on the Traum."]
WORDED = "<s>[USR] Where was Ilma born?[SYS]"


def by_hand(tokenizer):
    """What ``WORDED`` must become, token by token."""
    name = tokenizer.convert_tokens_to_ids
    text = tokenizer(" Where was Ilma born?", add_special_tokens=False).input_ids
    return [name("<s>"), name("[USR]"), *text, name("[SYS]")]


@pytest.fixture
def read_by_base(model):
    """The ids of every pass of the base model."""
    seen = []
    handle = model.base.model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"][0].tolist()), with_kwargs=True
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize("mode", ["inject", "none"])
def test_the_base_model_reads_the_tokens_that_were_made_by_hand(model, read_by_base, mode):
    model.generate(WORDED, PASSAGES, mode, is_worded=True, max_new_tokens=2)

    assert read_by_base[0] == by_hand(model.tokenizer)


def test_no_beginning_is_added_where_the_prompt_has_none(model, read_by_base):
    model.generate(WORDED.removeprefix("<s>"), is_worded=True, max_new_tokens=1)

    assert read_by_base[0] == by_hand(model.tokenizer)[1:]


@pytest.mark.parametrize("mode", ["stuff", "combine"])
def test_stuffed_passages_go_behind_the_beginning(model, read_by_base, mode):
    model.generate(WORDED, PASSAGES, mode, is_worded=True, max_new_tokens=1)

    first, *rest = by_hand(model.tokenizer)
    one, two = model.wording.tokenize_passages(model.tokenizer, PASSAGES)
    assert read_by_base[0] == [first, *one, *two, *rest]


@pytest.mark.parametrize("mode", ["inject", "stuff", "combine", "none"])
def test_the_wording_by_hand_reads_as_the_wording_of_the_model(laid_out, mode):
    model, question = laid_out, "Where was Ilma born?"
    given = model.generate(question, PASSAGES, mode, max_new_tokens=8)

    worded = model.generate(WORDED, PASSAGES, mode, is_worded=True, max_new_tokens=8)

    assert worded.text.removeprefix(" ") == given.text
    assert worded.usage.prompt_tokens == given.usage.prompt_tokens
    assert worded.usage.knowledge_tokens == given.usage.knowledge_tokens
    torch.testing.assert_close(
        model.score(WORDED, " in Oltun", PASSAGES, mode, is_worded=True),
        model.score(question, "in Oltun", PASSAGES, mode),
    )


def test_injection_changes_the_answer_to_a_worded_prompt(make_model):
    model = make_model(positions="all", initializer_range=1.0)
    texts = {
        model.generate(WORDED, passages, is_worded=True, max_new_tokens=8).text
        for passages in ([], PASSAGES[:1], PASSAGES[1:])
    }

    assert len(texts) == 3


def test_an_answer_to_a_worded_prompt_keeps_its_first_blank_streamed_or_not(model):
    model.wording = type(model.wording)(answer=model.generate("Who?").text[:1] + "{answer}")

    whole = model.generate(WORDED, is_worded=True, max_new_tokens=8).text
    pieces = "".join(model.stream(WORDED, is_worded=True, max_new_tokens=8))

    ids = torch.tensor([by_hand(model.tokenizer)])
    output = model.base.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    raw = model.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    assert whole == pieces == raw


def test_several_worded_prompts_answer_as_one_by_one(model):
    prompts = [WORDED, "<s>[USR] Who?[SYS] Ilma.[USR] Where?[SYS]"]
    alone = [model.generate(p, PASSAGES, is_worded=True, max_new_tokens=6).text for p in prompts]

    together = model.generate(prompts, [PASSAGES] * 2, is_worded=True, max_new_tokens=6)

    assert [answer.text for answer in together] == alone


def test_special_tokens_count_only_in_worded_prompts(tokenizer):
    names = tokenizer.convert_ids_to_tokens(tokenize_worded(tokenizer, "[USR] a</s>"))

    assert (names[0], names[-1]) == ("[USR]", "</s>")


def test_a_worded_prompt_that_is_too_long_counts_its_own_tokens(model):
    prompt = "<s>[USR]" + " why" * 600
    count = len(tokenize_worded(model.tokenizer, prompt))

    with pytest.raises(PromptTooLongError, match=f"the prompt has {count} tokens"):
        model.generate(prompt, is_worded=True)

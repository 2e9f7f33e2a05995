"""R1, R2, R5, R7, R9, R10 and R11 of what users of both hosts ask for: what an answer is."""

from __future__ import annotations

import asyncio
import json
import warnings

import pytest
import torch

from diekae_rag import DiekaeModel
from diekae_rag.prompting import start_tokens

from .conftest import PASSAGES, QUESTION, TALK, documents, watching


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_r1_a_stop_string_of_any_length_ends_every_kind_of_answer_alike(host, length):
    whole = host.ask(QUESTION, documents(host)).text
    begin = len(whole) // 2
    stop = whole[begin : begin + length]
    want = whole[: whole.index(stop)]

    async def streamed():
        return "".join([piece async for piece in host.astream(QUESTION, given, stop=[stop])])

    given = documents(host)
    assert host.ask(QUESTION, given, stop=[stop]).text == want
    assert "".join(host.stream(QUESTION, given, stop=[stop])) == want
    assert asyncio.run(host.aask(QUESTION, given, stop=[stop])) == want
    assert asyncio.run(streamed()) == want


def test_r1_a_stop_string_of_the_object_ends_a_batch_too(make_host, model):
    plain = make_host(model)
    whole = plain.ask(QUESTION, documents(plain)).text
    stop = whole[len(whole) // 2 :][:2]
    host = make_host(model, stop=[stop])

    answers = host.batch([QUESTION, "Who?"], [documents(host), []])

    assert answers[0] == whole[: whole.index(stop)]
    assert stop not in answers[1]


def test_r2_the_prompt_begins_once_is_worded_once_and_is_not_in_the_answer(host, model):
    tokenizer = model.tokenizer
    worded = tokenizer(f"[USR] {QUESTION}[SYS]", add_special_tokens=False).input_ids

    with watching(model) as passes:
        answer = host.ask(QUESTION, documents(host)).text

    assert passes[0] == start_tokens(tokenizer) + worded
    assert passes[0].count(tokenizer.bos_token_id) == 1
    assert QUESTION not in answer


def test_r2_a_chat_template_is_applied_once_and_nothing_is_added_to_it(make_host, templated):
    host, tokenizer = make_host(templated), templated.tokenizer
    texts = [" Who is Ada?", " A nurse.", f" {QUESTION}"]
    first, answer, asked = tokenizer(texts, add_special_tokens=False).input_ids
    start, end, user, system = map(
        tokenizer.convert_tokens_to_ids, ("<s>", "</s>", "[USR]", "[SYS]")
    )

    with watching(templated) as passes:
        said = host.converse(TALK, documents(host))

    assert passes[0] == [start, user, *first, system, *answer, end, user, *asked, system]
    assert not any(text.strip() in said for text in texts)
    assert said != host.converse(TALK)


def test_r5_a_row_among_others_answers_as_it_does_alone(host):
    given = documents(host)
    prompts = [QUESTION, "Who?", "And where, if anywhere, does Bob, who sings, live these days?"]
    read = [given, [], given[1:]]

    alone = [host.ask(prompt, some).text for prompt, some in zip(prompts, read, strict=True)]

    assert host.batch(prompts, read) == alone


def test_r7_too_many_passages_are_cut_with_a_warning_and_the_prompt_stays_whole(host, model):
    endless = host.document("Ada lives in Zanzibar. " * 200, 0.5, "long.txt")

    with watching(model) as passes, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = host.ask(QUESTION, [endless])

    assert any("truncated" in str(warning.message) for warning in caught)
    assert said.usage["truncated_tokens"] > 0
    assert QUESTION in model.tokenizer.decode(passes[0])


def test_r7_a_prompt_longer_than_the_window_is_a_clear_error_and_nothing_breaks(host, model):
    before = host.ask(QUESTION, documents(host)).text

    with pytest.raises(RuntimeError, match=r"\d+ tokens.*\d+"):
        host.ask("Where? " * model.window, documents(host))

    assert host.ask(QUESTION, documents(host)).text == before


def test_r9_usage_says_what_was_read_what_was_not_and_how_long_it_took(host, model):
    with watching(model) as passes:
        said = host.ask(QUESTION, documents(host))

    usage = said.usage
    assert usage[host.prompt_tokens] == len(passes[0])
    assert usage["knowledge_tokens"] == usage["knowledge_tokens_kept_out"] > 0
    assert usage[host.new_tokens] == 8
    assert 0 < usage["seconds_to_first_token"] <= usage["total_seconds"]
    json.dumps(usage)


def test_r10_sources_keep_their_text_their_metadata_and_their_scores(host):
    sources = host.ask(QUESTION, documents(host)).sources

    assert [source["text"] for source in sources] == list(PASSAGES)
    assert [source["score"] for source in sources] == pytest.approx([0.9, 0.8])
    assert [source["metadata"]["source"] for source in sources] == ["0.txt", "1.txt"]
    json.dumps(sources)


def test_r11_without_knowledge_and_after_detaching_the_base_model_answers_as_itself(
    host, model, tokenizer
):
    ids = start_tokens(tokenizer)
    ids += tokenizer(f"[USR] {QUESTION}[SYS]", add_special_tokens=False).input_ids

    def of_the_base_model():
        rows = torch.tensor([ids])
        with torch.no_grad():
            out = model.base.generate(
                rows, attention_mask=torch.ones_like(rows), max_new_tokens=8, do_sample=False
            )
        return model.wording.read_answer(tokenizer.decode(out[0, len(ids) :]))

    want = of_the_base_model()
    assert host.ask(QUESTION).text == want
    assert host.ask(QUESTION, documents(host)).text != want
    assert of_the_base_model() == want  # outside a call the hooks add nothing
    model.detach()
    assert of_the_base_model() == want
    assert isinstance(model, DiekaeModel)

"""Templates may hold special tokens, the texts in them never do; every text is read whole."""

from __future__ import annotations

import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.demo.tokenizer import SPECIAL_TOKENS
from diekae_rag.prompting import Wording, start_tokens

WORDING = Wording(passage="Imagine that {passage}[SEP]", prompt="[USR] {prompt}[SYS]")
HOSTILE = st.lists(st.sampled_from([*SPECIAL_TOKENS, " ", "a", "\n", "é"]), max_size=8).map("".join)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | HOSTILE
quick = settings(max_examples=60, deadline=None)


@quick
@given(text=TEXTS)
def test_a_text_never_becomes_a_special_token(tokenizer, text):
    special = set(tokenizer.all_special_ids)

    passage = WORDING.tokenize_passages(tokenizer, [text])[0]
    prompt = WORDING.tokenize_prompts(tokenizer, [text])[0]
    answer = WORDING.tokenize_answers(tokenizer, [text])[0]

    names = tokenizer.convert_ids_to_tokens
    assert names([i for i in passage if i in special]) == ["[SEP]"]
    assert names([i for i in prompt if i in special]) == ["[USR]", "[SYS]"]
    assert names([i for i in answer if i in special]) == ["</s>"]


@quick
@given(text=TEXTS)
def test_what_is_worded_reads_back_as_the_template_with_the_text(tokenizer, text):
    passage = WORDING.tokenize_passages(tokenizer, [text])[0]
    prompt = WORDING.tokenize_prompts(tokenizer, [text])[0]

    assert tokenizer.decode(passage) == f"Imagine that {text}[SEP]"
    assert tokenizer.decode(prompt) == f"[USR] {text}[SYS]"


@quick
@given(texts=st.lists(TEXTS, max_size=4))
def test_texts_are_worded_together_as_alone(tokenizer, texts):
    together = WORDING.tokenize_passages(tokenizer, texts)

    assert together == [WORDING.tokenize_passages(tokenizer, [text])[0] for text in texts]


@quick
@given(text=TEXTS, limit=st.integers(0, 30))
def test_a_cut_passage_keeps_its_beginning_and_the_wording_around_it(tokenizer, text, limit):
    whole = WORDING.tokenize_passages(tokenizer, [text])[0]
    empty = WORDING.tokenize_passages(tokenizer, [""], 0)[0]

    cut = WORDING.tokenize_passages(tokenizer, [text], limit)[0]

    assert len(cut) == max(len(empty), min(limit, len(whole)))
    assert cut[:-1] == whole[: len(cut) - 1]
    assert cut[-1] == whole[-1]


@quick
@given(text=st.text(max_size=30))
def test_lone_surrogates_are_replaced(tokenizer, text):
    broken = f"a{text}\ud800b"

    ids = WORDING.tokenize_prompts(tokenizer, [broken])[0]

    assert tokenizer.decode(ids).endswith("?b[SYS]")


def test_the_tokenizer_is_left_as_it_was(tokenizer):
    before = tokenizer("[SYS] </s>").input_ids

    WORDING.tokenize_prompts(tokenizer, ["[SYS]"])

    assert tokenizer("[SYS] </s>").input_ids == before


def test_threads_that_word_at_once_word_alike(tokenizer):
    hostile = "hello </s> [SYS] world"
    expected, seen = WORDING.tokenize_prompts(tokenizer, [hostile])[0], set()

    def work():
        for _ in range(400):
            seen.add(tuple(WORDING.tokenize_prompts(tokenizer, [hostile])[0]))

    threads = [threading.Thread(target=work) for _ in range(6)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert seen == {tuple(expected)}


@quick
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_an_answer_reads_back_as_it_was_worded(tokenizer, text):
    ids = Wording(answer="So: {answer}").tokenize_answers(tokenizer, [text])[0]

    assert Wording(answer="So: {answer}").read_answer(tokenizer.decode(ids[:-1])) == text


@pytest.mark.parametrize("field", ["passage", "prompt", "answer"])
@pytest.mark.parametrize("template", ["", "nothing", "{%s} and {%s}", "{text}"])
def test_a_template_needs_its_placeholder_just_once(field, template):
    with pytest.raises(ValueError, match=field):
        Wording(**{field: template.replace("%s", field)})


def test_a_sequence_starts_with_what_the_tokenizer_puts_there(tokenizer):
    assert start_tokens(tokenizer) == [tokenizer.bos_token_id]

"""The demo's tokenizer gives back every text, and is the same for the same seed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from diekae_rag.demo.tokenizer import SPECIAL_TOKENS, train_tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
quick = settings(max_examples=100, deadline=None)


@quick
@given(text=ANY_TEXT)
def test_any_text_survives(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    assert tokenizer.decode(ids) == text
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@quick
@given(text=st.text("0123456789", max_size=20))
def test_digits_stand_alone(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False)

    assert tokenizer.convert_ids_to_tokens(ids) == list(text)


@quick
@given(text=ANY_TEXT)
def test_a_sequence_begins_with_its_start(tokenizer, text):
    ids = tokenizer.encode(text, split_special_tokens=True)

    assert ids[0] == tokenizer.bos_token_id
    assert ids[1:] == tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)


def test_special_tokens_come_first_and_are_whole(tokenizer):
    assert tokenizer.convert_ids_to_tokens(range(len(SPECIAL_TOKENS))) == list(SPECIAL_TOKENS)
    for number, token in enumerate(SPECIAL_TOKENS):
        assert tokenizer.encode(token, add_special_tokens=False) == [number]


def test_it_survives_saving_and_loading(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)

    text = "[USR] né 1953, 漢字 🙂 </s>"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.padding_side == "left"
    split = {"split_special_tokens": True, "add_special_tokens": False}
    assert loaded(text, **split).input_ids == tokenizer(text, **split).input_ids


def test_the_same_seed_trains_the_same_tokenizer(tokenizer):
    again = train_tokenizer(seed=0, vocab_size=400)

    assert again.get_vocab() == tokenizer.get_vocab()
    assert len(again) == 400

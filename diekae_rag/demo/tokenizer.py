"""The demo reader's own tokenizer: byte-level BPE, so that any text survives it."""

from __future__ import annotations

import random
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from diekae_rag.demo.episodes import INSTRUCTIONS, random_episode
from diekae_rag.demo.worlds import REFUSAL

__all__ = ["SPECIAL_TOKENS", "byte_level_bpe", "train_tokenizer"]

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "[SEP]", "[USR]", "[SYS]")


def train_tokenizer(seed: int, vocab_size: int = 2048) -> PreTrainedTokenizerFast:
    """Trains the tokenizer on training worlds; the same seed gives the same tokenizer.

    Digits stand alone, so that numbers and dates are copied digit by digit.

    Example:
        >>> tokenizer = train_tokenizer(seed=0, vocab_size=400)
        >>> tokenizer.decode(tokenizer.encode("né 1953, 漢字 🙂", add_special_tokens=False))
        'né 1953, 漢字 🙂'
    """
    rng = random.Random(f"tokenizer:{seed}")
    texts = [f" {REFUSAL}", *(f" {text}" for text in INSTRUCTIONS)]
    for _ in range(6000):
        episode = random_episode(rng, num_passages=1, max_facts=4, num_questions=2)
        texts += [f" Imagine that {episode.passages[0]}"]
        for question, answer in episode.questions:
            texts += [f" {question}", f" {answer}"]
    return byte_level_bpe(texts, vocab_size)


def byte_level_bpe(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Trains byte-level BPE on texts; digits stand alone, special tokens are the demo's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["[SEP]", "[USR]", "[SYS]"],
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=1024,
    )

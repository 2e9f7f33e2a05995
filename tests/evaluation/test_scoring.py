import pytest
import torch

from diekae_rag.answers import MODES
from diekae_rag.data import Record
from diekae_rag.evaluation import Arm
from diekae_rag.evaluation.scoring import batches_by_length, prompt_features, score_answers

LAYOUTS = [
    {"sharing": "shared", "passage_attention": "independent", "positions": "all"},
    {"sharing": "separate", "passage_attention": "joint", "positions": "prompt"},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_batch_is_scored_as_one_by_one(make_model, records, layout, mode, batch_size):
    arm = Arm(mode, make_model(**layout), mode)
    scores = score_answers(arm, records, batch_size=batch_size)
    alone = [arm.model.score(r.prompt, r.answer, r.passages, mode) for r in records]
    torch.testing.assert_close(
        [score.log_likelihood for score in scores], alone, rtol=1e-4, atol=1e-4
    )


def test_a_batch_is_scored_as_one_by_one_where_the_window_cuts_the_passages(shared):
    text = " ".join(f"Ada has {number} goats." for number in range(60))
    shared.base.config.max_position_embeddings = 128
    records = [Record("Who?", "Ada", (text, text)), Record("Who has goats?", "Bob or Ada", (text,))]
    for mode in ("stuff", "combine"):
        scores = score_answers(Arm(mode, shared, mode), records, batch_size=2)
        alone = [shared.score(r.prompt, r.answer, r.passages, mode) for r in records]
        torch.testing.assert_close(
            [score.log_likelihood for score in scores], alone, rtol=1e-4, atol=1e-4
        )


def test_every_arm_scores_the_answers_tokens_and_an_end_of_sequence(arms, records, tokenizer):
    expected = [len(tokenizer(f" {r.answer}", add_special_tokens=False).input_ids) for r in records]
    for arm in arms:
        scores = score_answers(arm, records)
        assert [score.num_tokens for score in scores] == [count + 1 for count in expected]


def test_the_arms_hold_the_same_answers_differently_likely(arms, records):
    first = [score_answers(arm, records)[0].log_likelihood for arm in arms]
    assert len(set(first)) == len(arms)


@pytest.mark.parametrize("mode", MODES)
def test_features_do_not_depend_on_the_batch(shared, records, mode):
    arm = Arm(mode, shared, mode)
    alone = prompt_features(arm, records, batch_size=1)
    torch.testing.assert_close(
        prompt_features(arm, records, batch_size=5), alone, rtol=1e-4, atol=1e-4
    )


def test_features_are_what_the_head_reads_before_the_first_token(shared, records):
    arm = Arm("inject", shared, "inject")
    head = shared.base.get_output_embeddings()
    likeliest = head(prompt_features(arm, records)).argmax(-1)
    for record, token in zip(records, likeliest.tolist(), strict=True):
        answer = shared.generate(record.prompt, record.passages, "inject", max_new_tokens=1)
        assert shared.tokenizer.decode([token]).strip() == answer.text.strip()


def test_injected_features_are_those_without_knowledge_where_there_is_none(shared, records):
    none, inject = (
        prompt_features(Arm(mode, shared, mode), records) for mode in ("none", "inject")
    )
    has_passages = torch.tensor([bool(record.passages) for record in records])
    torch.testing.assert_close(none[~has_passages], inject[~has_passages])
    assert (none - inject)[has_passages].abs().amax(1).min() > 0.01


def test_reading_leaves_the_base_model_as_it_was(shared, records):
    ids = torch.tensor([[5, 6, 7]])
    before = shared.base(input_ids=ids).logits
    score_answers(Arm("inject", shared, "inject"), records)
    prompt_features(Arm("combine", shared, "combine"), records)
    assert torch.equal(shared.base(input_ids=ids).logits, before)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batches_hold_every_record_once_and_shorter_ones_first(records, batch_size):
    batches = batches_by_length(records, batch_size)
    order = [position for batch in batches for position in batch]
    lengths = [len("".join(records[i].passages)) + len(records[i].prompt) for i in order]
    assert sorted(order) == list(range(len(records)))
    assert lengths == sorted(lengths)
    assert max(map(len, batches)) <= batch_size


def test_progress_counts_every_record(shared, records):
    done = []
    score_answers(Arm("none", shared, "none"), records, batch_size=2, advance=done.append)
    assert done == [2, 2, 1]

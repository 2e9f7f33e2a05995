import gc
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from diekae_rag.demo.worlds import Question
from diekae_rag.evaluation import load_arms
from diekae_rag.evaluation.arms import stage_folder
from diekae_rag.evaluation.cases import Case
from diekae_rag.evaluation.outcomes import answer_cases
from diekae_rag.passages import Passage

SHARED = {
    "sharing": "shared",
    "passage_attention": "independent",
    "positions": "all",
    "max_passage_tokens": 160,
}
PROMPT, PASSAGES = "Where does Ada live?", ["Ada lives in Turin."]


@pytest.fixture
def weights(make_model, tokenizer, tmp_path):
    """A reader, encoders, adapters that change it and weights that are other ones, on disk."""
    model = make_model(**SHARED, base_model_name_or_path="../reader")
    model.base.save_pretrained(tmp_path / "reader")
    tokenizer.save_pretrained(tmp_path / "reader")
    model.encoders.save_pretrained(tmp_path / "encoders")
    reader = AutoModelForCausalLM.from_pretrained(tmp_path / "reader")
    torch.manual_seed(3)
    for weight in reader.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    reader.save_pretrained(tmp_path / "full")
    reader = AutoModelForCausalLM.from_pretrained(tmp_path / "reader")
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with_adapters = get_peft_model(reader, config)
    with_adapters.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    with torch.no_grad():
        logits = with_adapters(input_ids=torch.tensor([[5, 6, 7]])).logits
    torch.save(logits, tmp_path / "logits.pt")
    return tmp_path


@pytest.fixture
def arms(weights):
    loaded = load_arms(str(weights / "encoders"), lora=weights / "lora", full=str(weights / "full"))
    return {arm.name: arm for arm in loaded}


def test_tuned_arms_read_stuffed_prompts_with_weights_of_their_own(arms):
    assert list(arms) == ["none", "stuff", "inject", "combine", "lora", "full"]
    assert arms["lora"].mode == arms["full"].mode == "stuff"
    scores = {
        name: arms[name].model.score(PROMPT, "Turin", PASSAGES, arms[name].mode)
        for name in ("stuff", "lora", "full")
    }
    assert len(set(scores.values())) == 3


def test_arms_that_differ_in_the_mode_alone_share_a_model(arms):
    assert len({id(arms[name].model) for name in ("none", "stuff", "inject", "combine")}) == 1
    bases = {id(arms[name].model.base) for name in ("stuff", "lora", "full")}
    assert len(bases) == 3


def test_merged_adapters_answer_as_they_did_beside_the_weights(arms, weights):
    with torch.no_grad():
        logits = arms["lora"].model.base(input_ids=torch.tensor([[5, 6, 7]])).logits
    torch.testing.assert_close(logits, torch.load(weights / "logits.pt"), rtol=1e-4, atol=1e-4)


def test_full_weights_are_those_in_the_folder(arms, weights):
    saved = AutoModelForCausalLM.from_pretrained(weights / "full").state_dict()
    loaded = arms["full"].model.base.state_dict()
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_every_arm_knows_what_was_trained_for_it(arms):
    encoders = sum(w.numel() for w in arms["inject"].model.encoders.parameters())
    reader = sum(w.numel() for w in arms["stuff"].model.base.parameters())
    assert arms["none"].trainable_weights == arms["stuff"].trainable_weights == 0
    assert arms["inject"].trainable_weights == arms["combine"].trainable_weights == encoders
    assert arms["lora"].trainable_weights == 4 * 2 * 2 * (32 + 32)  # layers, matrices, rank, ends
    assert arms["full"].trainable_weights == reader


def test_without_weights_the_tuned_arms_are_left_out(weights):
    names = [arm.name for arm in load_arms(str(weights / "encoders"))]
    assert names == ["none", "stuff", "inject", "combine"]


@pytest.mark.parametrize(
    ("arm", "place"),
    [
        ("inject_distilled", "distill/encoders"),
        ("inject_distilled", "differences/encoders"),
        ("inject_distilled", "encoders_distilled"),
        ("inject_warmup", "warmup/encoders"),
    ],
)
def test_encoders_of_earlier_stages_are_found_and_answer(weights, arm, place):
    shutil.copytree(weights / "encoders", weights / place)
    assert stage_folder(str(weights / "encoders"), arm) == weights / place
    (loaded,) = load_arms(str(weights / "encoders"), [arm])
    assert (loaded.mode, loaded.folder) == ("inject", weights / place)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_folder_without_such_weights_is_named(weights, name):
    with pytest.raises(FileNotFoundError, match="save_pretrained wrote"):
        load_arms(str(weights / "encoders"), [name], **{name: weights})


def test_weights_for_an_arm_that_is_not_wanted_are_refused(weights):
    with pytest.raises(ValueError, match="for the arm lora, which is not among none"):
        load_arms(str(weights / "encoders"), ["none"], lora=weights / "lora")


def test_options_reach_every_base_model(weights):
    arms = load_arms(
        str(weights / "encoders"),
        lora=weights / "lora",
        full=weights / "full",
        dtype=torch.bfloat16,
    )
    assert {arm.model.base.dtype for arm in arms} == {torch.bfloat16}


def test_an_arm_answers_from_states_in_int8(weights):
    plain, arm = load_arms(str(weights / "encoders"), ["inject", "inject_int8"])
    passage = Passage(PASSAGES[0])
    case = Case(Question(PROMPT, "Turin", "lives in", 0), [passage])

    (outcome,) = answer_cases(arm, [case])

    usage = outcome.answer.usage
    assert usage.knowledge_tokens_from_kept_states == usage.knowledge_tokens > 0
    assert arm.states.file.code.dtype == "int8"
    assert plain.model.states is None
    folder = arm.states.file.path.parent
    del arm, outcome
    gc.collect()
    assert not folder.exists()

"""Each stage of the encoders' training does what it says, and no more."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from diekae_rag import DiekaeConfig, Encoders
from diekae_rag.demo.batches import ANSWER
from diekae_rag.demo.reader import DEMO_WORDING, Phase
from diekae_rag.demo.stages import Stage, StageObjective
from diekae_rag.demo.tokenizer import train_tokenizer
from diekae_rag.demo.train import train_encoders
from diekae_rag.injection import Injection

PHASE = Phase(3, (1, 2), (1, 2), 2, 0.2, 0.0, 4, 128)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(seed=0, vocab_size=1024)


@pytest.fixture
def reader(tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).requires_grad_(False).eval()


@pytest.fixture
def encoders():
    torch.manual_seed(1)
    config = DiekaeConfig(
        base_hidden_size=32,
        base_num_hidden_layers=2,
        layers=[0, 1],
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        sharing="shared",
        positions="all",
        passage_attention="independent",
        passage_direction="both",
        wording=DEMO_WORDING.to_dict(),
    )
    encoders = Encoders(config)
    for up in encoders.up.values():
        torch.nn.init.normal_(up.weight, std=0.02)
    return encoders


@pytest.fixture
def objective(reader, encoders, tokenizer):
    def build(name: str) -> StageObjective:
        injection = Injection(reader, encoders)
        return StageObjective(
            Stage(name, (PHASE,), 1e-3), reader, encoders, injection, tokenizer, 0
        )

    with torch.compiler.set_stance("force_eager"):
        yield build


@pytest.mark.parametrize("stage", ["warmup", "distill", "finetune"])
def test_a_stage_gives_gradient_to_encoders_only(objective, reader, encoders, stage):
    loss, metrics = objective(stage)(0)

    loss.backward()

    assert all(parameter.grad is None for parameter in reader.parameters())
    assert encoders.up["1"].weight.grad.abs().sum() > 0
    assert 0 <= metrics["tokens right"] <= 1


@pytest.mark.parametrize(("stage", "reaches"), [("distill", False), ("finetune", True)])
def test_only_fine_tuning_sends_gradient_through_decoder_layers(
    objective, encoders, stage, reaches
):
    loss, _ = objective(stage)(0)

    loss.backward()

    # A delta below the last layer matters through the layers above it alone.
    assert (encoders.up["0"].weight.grad is not None) == reaches


def test_warm_up_does_not_run_the_base_model(objective, reader):
    seen = []
    warm_up = objective("warmup")  # attaching probes the base model, once
    reader.model.layers[0].register_forward_hook(lambda *_: seen.append(True))

    warm_up(0)

    assert seen == []


def test_a_step_depends_on_its_number_alone(objective):
    first, again = objective("finetune"), objective("finetune")
    first(0)

    assert torch.equal(first(2)[0], again(2)[0])
    assert not torch.equal(first(2)[0], first(1)[0])


def test_amplifying_makes_the_last_delta_as_much_larger_as_it_says(objective, reader, encoders):
    stage = objective("warmup")
    stage.amplify(margin=3.0)
    _, batch = stage._draw(PHASE, 0)
    q = batch.questions
    answers = q.roles == ANSWER

    deltas, _ = stage._deltas(batch)
    bare = stage._read_base_eagerly(q.input_ids, q.position_ids, q.attention_mask)

    ratio = deltas[1][answers].norm() / bare[answers].norm()
    torch.testing.assert_close(ratio, torch.tensor(3.0), rtol=1e-3, atol=0)


def test_an_episode_that_cannot_fit_is_an_error_and_no_endless_search(objective):
    stage = objective("warmup")

    with pytest.raises(ValueError, match="hardly an episode"):
        stage._draw(Phase(1, (1, 1), (1, 1), 2, 0.0, 0.0, 2, 4), 0)


def test_stages_that_ended_are_not_trained_again(reader, tokenizer, tmp_path):
    stages = (Stage("warmup", (PHASE,), 1e-3, warmup_steps=1), Stage("finetune", (PHASE,), 1e-3))
    with torch.compiler.set_stance("force_eager"):
        first, _ = train_encoders(reader, tokenizer, tmp_path, stages=stages, show_progress=False)
        again, _ = train_encoders(reader, tokenizer, tmp_path, stages=stages, show_progress=False)

    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])

"""Each stage of training does what it says, and no more."""

from __future__ import annotations

import pytest
import torch

from diekae_rag import DiekaeModel
from diekae_rag.training.batches import ANSWER, Episode, pack_for_injection, pack_stuffed
from diekae_rag.training.distillation import Differences, Outputs
from diekae_rag.training.finetuning import Finetuning
from diekae_rag.training.objectives import Batch
from diekae_rag.training.warmup import Warmup, amplify

STAGES = [Warmup, Outputs, Differences, Finetuning]
LAYOUTS = [
    {},
    {"passage_attention": "joint"},
    {"sharing": "separate"},
    {"positions": "prompt"},
    {"passage_direction": "both"},
    {"site": "layer"},
]


@pytest.mark.parametrize("choices", LAYOUTS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_gives_gradient_to_encoders_only(build, draw, reader, stage, choices):
    objective = build(stage, **choices)

    loss, metrics = objective(draw(objective.encoders.config))
    loss.backward()

    assert loss.isfinite()
    assert all(parameter.grad is None for parameter in reader.parameters())
    weight = objective.encoders.up["2"].weight
    # With positions="prompt" what the base reads of an answer has no delta at its own place.
    assert weight.grad.abs().sum() > 0
    assert all(value.ndim == 0 and value.isfinite() for value in metrics.values())


@pytest.mark.parametrize("stage", STAGES)
def test_an_objective_holds_the_encoders_weights_and_no_others(build, stage):
    objective = build(stage)

    own = {parameter.data_ptr() for parameter in objective.parameters()}

    assert own == {parameter.data_ptr() for parameter in objective.encoders.parameters()}


@pytest.mark.parametrize(
    ("stage", "reaches"), [(Outputs, False), (Differences, True), (Finetuning, True)]
)
def test_what_reaches_the_lower_layers(build, draw, stage, reaches):
    objective = build(stage)

    objective(draw(objective.encoders.config))[0].backward()

    # Distilling onto outputs uses the last delta alone: nothing passes a decoder layer.
    assert (objective.encoders.up["0"].weight.grad is not None) == reaches


@pytest.mark.parametrize("stage", [Outputs, Differences])
def test_distillation_never_records_a_graph_through_a_decoder_layer(build, draw, reader, stage):
    objective = build(stage)
    recorded = []
    for layer in reader.model.layers:
        layer.register_forward_hook(lambda _m, _a, out: recorded.append(out.requires_grad))

    objective(draw(objective.encoders.config))

    assert recorded
    assert not any(recorded)


def test_warm_up_does_not_run_the_base_model(build, draw, reader):
    warm_up = build(Warmup)  # attaching probes the base model, once
    seen = []
    reader.model.layers[0].register_forward_hook(lambda *_: seen.append(True))

    warm_up(draw(warm_up.encoders.config))

    assert seen == []


def test_the_teacher_stops_after_the_highest_injected_layer(build, draw, reader):
    objective = build(Differences, layers=[0, 1])
    seen = []
    for number, layer in enumerate(reader.model.layers):
        layer.register_forward_hook(lambda *_, number=number: seen.append(number))

    objective(draw(objective.encoders.config))

    assert 2 not in seen
    assert 0 in seen


def test_onto_outputs_needs_the_last_layer(build):
    with pytest.raises(ValueError, match=r"last decoder layer, 2.*\[0, 1\]"):
        build(Outputs, layers=[0, 1])


@pytest.mark.parametrize("choices", LAYOUTS, ids=str)
def test_training_sees_the_loss_that_the_model_scores(build, draw, reader, tokenizer, choices):
    objective = build(Finetuning, **choices)
    config, encoders = objective.encoders.config, objective.encoders.eval()
    passages, question, answer = ["Ada lives in Rome.", "Bob sings."], "Where is Ada?", "Rome"
    episode = Episode(passages, [(question, answer)])
    batch = Batch(pack_for_injection([episode], tokenizer, config))

    with torch.no_grad():
        loss, _ = objective(batch)
    num_answer = int((batch.injected.questions.roles == ANSWER).sum())
    objective.injection.detach()
    model = DiekaeModel(reader, tokenizer, encoders)
    score = model.score(question, answer, passages)
    model.detach()

    assert loss.item() * num_answer == pytest.approx(-score, rel=1e-4)


def test_perfect_differences_make_the_injected_model_the_stuffed_one(build, draw, reader):
    """With the targets themselves as deltas, on the policy's own stream, nothing is left over."""
    objective = build(Differences, options={"is_on_policy": True}, layers=[0], site="layer")
    config = objective.encoders.config
    batch = draw(config)
    zero = {0: torch.zeros(*batch.injected.questions.input_ids.shape, 32)}

    targets = objective.targets(batch, zero)
    here = objective.positions(batch.injected.questions)
    perfect = {0: zero[0].clone()}
    perfect[0][here] = targets["0"]
    with objective.injection.adding(perfect):
        got = objective.base.outputs_at(batch.injected.questions, [0], "layer", here)[0]
    there = objective.positions(batch.stuffed)
    want = objective.base.outputs_at(batch.stuffed, [0], "layer", there)[0]

    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("choices", LAYOUTS, ids=str)
@pytest.mark.parametrize("num_words", [1, 40])
def test_read_in_one_row_the_teacher_says_what_it_says_in_two(build, tokenizer, choices, num_words):
    objective = build(Differences, **choices)
    config = objective.encoders.config
    episodes = [
        Episode(["Ada lives " + "on and on " * num_words], [("Who?", "Ada"), ("Where?", "Oslo")]),
        Episode(["Bob sings."], [("What does Bob do all day?", "He sings and sings.")]),
        Episode([], [("And you?", "No.")]),
    ]
    stuffed = pack_stuffed(episodes, tokenizer, config)
    injected = pack_for_injection(episodes, tokenizer, config)

    targets = objective.targets(Batch(injected, stuffed))

    layers, site, q = list(config.layers), config.site, injected.questions
    taught = objective.base.outputs_at(stuffed, layers, site, objective.positions(stuffed))
    bare = objective.base.outputs_at(q, layers, site, objective.positions(q))
    for layer in layers:
        want = taught[layer] - bare[layer]
        torch.testing.assert_close(targets[str(layer)], want, atol=1e-5, rtol=1e-4)


def test_the_distributions_compared_are_those_of_two_separate_readings(build, draw):
    objective = build(Outputs)
    batch = draw(objective.encoders.config)

    targets = objective.targets(batch)

    for name, read in {"stuffed": batch.stuffed, "bare": batch.injected.questions}.items():
        foretelling = (read.roles == ANSWER)[:, 1:]
        want = objective.base.read_before_norm(read)[:, :-1][foretelling]
        torch.testing.assert_close(targets[name], want, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("highest", [1, 2])
@pytest.mark.parametrize("site", ["mlp", "layer"])
def test_what_a_layer_gives_does_not_depend_on_which_others_are_asked_for(
    build, draw, site, highest
):
    objective = build(Differences)
    stuffed = draw(objective.encoders.config).stuffed
    at = objective.positions(stuffed)

    several = objective.base.outputs_at(stuffed, sorted({0, 1, highest}), site, at)
    alone = {n: objective.base.outputs_at(stuffed, [n], site, at)[n] for n in (0, 1, highest)}

    for layer, output in several.items():
        assert output.shape == (int(at.sum()), 32)
        torch.testing.assert_close(output, alone[layer])


def test_on_policy_and_off_policy_agree_at_the_lowest_layer_and_part_above(build, draw):
    off = build(Differences)
    batch = draw(off.encoders.config)
    deltas = off.injected(batch.injected)
    paper = off.targets(batch, deltas)

    off.is_on_policy = True
    relative = off.targets(batch, deltas)

    torch.testing.assert_close(paper["0"], relative["0"], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(paper["2"], relative["2"], atol=1e-3)


def test_no_knowledge_no_delta(build, tokenizer):
    objective = build(Finetuning)
    config = objective.encoders.config
    batch = pack_for_injection(
        [Episode(["Ada lives."], [("Who?", "Ada")]), Episode([], [("Who?", "Ada")])],
        tokenizer,
        config,
    )

    deltas = objective.injected(batch)

    assert deltas[0][0].abs().sum() > 0
    assert deltas[0][1].abs().sum() == 0


def test_the_wrong_half_of_a_batch_is_an_error(build, draw):
    objective = build(Outputs)
    batch = draw(objective.encoders.config)

    with pytest.raises(ValueError, match="stuffed"):
        objective(Batch(batch.injected))


def test_amplifying_makes_the_last_delta_as_much_larger_as_it_says(build, draw):
    objective = build(Warmup)
    batch = draw(objective.encoders.config)
    q = batch.injected.questions
    foretelling = (q.roles == ANSWER).roll(-1, dims=1)

    amplify(objective, batch, margin=3.0)

    deltas = objective.injected(batch.injected)
    bare = objective.base.read_before_norm(q)
    ratio = deltas[2][foretelling].norm() / bare[foretelling].norm()
    torch.testing.assert_close(ratio, torch.tensor(3.0), rtol=1e-3, atol=0)


def test_eager_and_sdpa_read_the_same(build, draw, reader, tokenizer):
    objective = build(Finetuning)
    batch = pack_stuffed(
        [Episode(["Ada lives."], [("Who?", "Ada"), ("Where?", "Rome")])],
        tokenizer,
        objective.encoders.config,
    )
    fast = objective.base.read(batch)

    reader.set_attn_implementation("eager")

    torch.testing.assert_close(
        objective.base.read(batch)[batch.roles != 0], fast[batch.roles != 0], atol=1e-4, rtol=1e-4
    )

"""The frozen model stays frozen, and what is injected is only what the encoders give."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack

import pytest
import torch
from transformers import DynamicCache

from diekae_rag import DiekaeModel, Encoders
from diekae_rag.passages import Passage
from diekae_rag.reading import read_knowledge
from diekae_rag.requests import Request
from diekae_rag.states import Knowledge, gather_knowledge

EVERY_LAYOUT = list(
    itertools.product(
        ("separate", "shared"), ("prompt", "all"), ("joint", "independent"), ("mlp", "layer")
    )
)
IDS = torch.tensor([[1, 9, 30, 200, 41, 77]])


def plain(base):
    with torch.no_grad():
        return base(input_ids=IDS).logits


@pytest.fixture
def knowledge(laid_out) -> Knowledge:
    """What one passage leaves, for a prompt of as many tokens as ``IDS``."""
    return read(laid_out, [[5, 6, 7, 8]])


def read(model, *rows) -> Knowledge:
    """What some texts of each row leave, given as token ids."""
    requests = [
        Request("", False, [Passage(str(ids)) for ids in row], [], [], row, 0, 0, 0) for row in rows
    ]
    return read_knowledge(model.reader, None, requests)[0]


def test_zero_deltas_leave_logits_bit_identical(base, laid_out, knowledge):
    before = plain(base)
    for up in laid_out.encoders.up.values():
        torch.nn.init.zeros_(up.weight)

    with laid_out.injection.call(knowledge, torch.ones_like(IDS)):
        injected = plain(base)

    assert torch.equal(injected, before)


def test_deltas_change_logits(base, laid_out, knowledge):
    with laid_out.injection.call(knowledge, torch.ones_like(IDS)):
        injected = plain(base)

    assert not torch.allclose(injected, plain(base), atol=0.1)


@pytest.mark.parametrize(("sharing", "positions", "passage_attention", "site"), EVERY_LAYOUT)
def test_hooks_outside_a_call_leave_logits_bit_identical(
    base, make_model, sharing, positions, passage_attention, site
):
    before = plain(base)

    make_model(sharing=sharing, positions=positions, passage_attention=passage_attention, site=site)

    assert torch.equal(plain(base), before)


def test_attaching_changes_neither_weights_nor_keys_nor_mode(base, make_model):
    base.train()
    before = {name: value.clone() for name, value in base.state_dict().items()}

    make_model()

    assert base.training
    assert list(base.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


def test_attaching_keeps_each_modules_own_mode(base, make_model):
    base.eval()
    base.model.layers[2].train()

    make_model()

    assert base.model.layers[2].mlp.training
    assert not base.model.layers[1].training


def test_detaching_restores_the_model(base, laid_out):
    before = plain(base)

    laid_out.detach()

    assert torch.equal(plain(base), before)
    assert not laid_out.injection.is_attached
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.modules())


def test_leaving_the_block_restores_the_model_even_after_an_error(base, laid_out, knowledge):
    before = plain(base)

    with (
        pytest.raises(KeyError),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        raise KeyError("mine")

    assert torch.equal(plain(base), before)


def test_an_error_inside_the_base_model_leaves_nothing_behind(base, laid_out, knowledge):
    before = plain(base)
    with (
        pytest.raises(IndexError),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        base(input_ids=IDS + base.config.vocab_size)

    assert torch.equal(plain(base), before)


def test_detaching_after_an_error_restores_the_model(base, laid_out, knowledge):
    before = plain(base)
    with (
        pytest.raises(KeyError),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        raise KeyError("mine")

    laid_out.detach()

    assert torch.equal(plain(base), before)


def test_a_thread_without_a_call_is_untouched_while_another_injects(base, laid_out, knowledge):
    before, seen = plain(base), []
    thread = threading.Thread(target=lambda: seen.append(plain(base)))

    with laid_out.injection.call(knowledge, torch.ones_like(IDS)):
        thread.start()
        thread.join()
        injected = plain(base)

    assert torch.equal(seen[0], before)
    assert not torch.equal(injected, before)


def test_nested_calls_are_refused_and_the_outer_one_goes_on(base, laid_out, knowledge):
    with laid_out.injection.call(knowledge, torch.ones_like(IDS)):
        first = plain(base)
        with (
            pytest.raises(RuntimeError, match="nested"),
            laid_out.injection.call(knowledge, torch.ones_like(IDS)),
        ):
            pass
        second = plain(base)

    assert torch.equal(first, second)


def test_a_call_after_detaching_is_refused(laid_out, knowledge):
    laid_out.detach()

    with (
        pytest.raises(RuntimeError, match="detached"),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        pass


def test_a_batch_that_is_no_multiple_of_the_rows_is_refused(base, laid_out):
    knowledge = read(laid_out, [[5, 6]], [[7]])

    with (
        pytest.raises(RuntimeError, match="3 rows"),
        laid_out.injection.call(knowledge, torch.ones(2, 6)),
    ):
        base(input_ids=IDS.repeat(3, 1))


def test_a_mask_of_other_rows_than_the_knowledge_is_refused(laid_out, knowledge):
    with ExitStack() as stack, pytest.raises((RuntimeError, ValueError), match="rows"):
        stack.enter_context(laid_out.injection.call(knowledge, torch.ones(2, 6)))


def test_only_encoder_parameters_receive_gradient(base, laid_out):
    base.requires_grad_(False)
    embeddings = base.get_input_embeddings()(torch.tensor([[5, 6, 7, 8]]))
    states = laid_out.encoders.encode_passages(embeddings, torch.ones(1, 4).bool())
    knowledge = Knowledge(states.keys, states.values, states.mask, torch.tensor([64]))

    with laid_out.injection.call(knowledge, torch.ones_like(IDS)):
        loss = base(input_ids=IDS).logits.square().mean()
    loss.backward()

    assert all(parameter.grad is None for parameter in base.parameters())
    without = [n for n, p in laid_out.encoders.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.abs().sum() > 0 for p in laid_out.encoders.parameters())


@pytest.mark.parametrize("site", ["mlp", "layer"])
def test_hooks_never_write_in_place(base, make_model, site):
    made, given = [], []
    target = base.model.layers[1].mlp if site == "mlp" else base.model.layers[1]
    target.register_forward_hook(lambda _m, _a, output: made.append((output, output.clone())))
    model = make_model(site=site, positions="all")
    target.register_forward_hook(lambda _m, _a, output: given.append(output))
    made.clear()
    given.clear()

    with model.injection.call(read(model, [[5, 6]]), torch.ones_like(IDS)):
        plain(base)

    assert torch.equal(*made[0])
    assert given[0] is not made[0][0]
    assert not torch.equal(given[0], made[0][0])


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_a_delta_at_the_mlp_moves_the_layers_output_by_just_that(base, make_model, layer):
    model = make_model(layers=[layer], positions="all")
    seen = []
    base.model.layers[layer].register_forward_hook(lambda _m, _a, output: seen.append(output))
    base.model.layers[layer].mlp.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    knowledge = read(model, [[5, 6]])
    embeddings = base.get_input_embeddings()(IDS)
    with torch.no_grad():
        delta = model.encoders(
            embeddings,
            torch.ones(1, 6, 6).tril().bool(),
            knowledge.starts[:, None] + torch.arange(6),
            knowledge,
        )[layer]

    plain(base)
    with model.injection.call(knowledge, torch.ones_like(IDS)):
        plain(base)

    torch.testing.assert_close(seen[2], seen[0])  # what the MLP reads is as it was
    torch.testing.assert_close(seen[3] - seen[1], delta, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["prompt", "all"])
def test_only_the_slots_of_the_config_are_injected(base, make_model, positions):
    model = make_model(positions=positions, layers=[3])
    seen = []
    base.model.layers[3].register_forward_hook(lambda _m, _a, output: seen.append(output))
    mask = torch.tensor([[0, 1, 0, 1]])  # a slot that is not the prompt's, and two beyond it

    plain(base)
    with model.injection.call(read(model, [[5, 6]]), mask):
        plain(base)

    moved = (seen[1] - seen[0]).abs().sum(-1)[0] > 0
    later = positions == "all"
    assert moved.tolist() == [False, True, False, True, later, later]


def test_two_models_over_one_base_do_not_meet(base, tokenizer, make_model, questions, sources):
    first = make_model(positions="all")
    alone = first.generate(questions, sources, max_new_tokens=6)
    other = DiekaeModel(base, tokenizer, Encoders(first.encoders.config))

    together = first.generate(questions, sources, max_new_tokens=6)
    untrained = other.generate(questions, sources, max_new_tokens=6)

    assert [a.text for a in together] == [a.text for a in alone]
    nothing = first.generate(questions, mode="none", max_new_tokens=6)
    assert [a.text for a in untrained] == [a.text for a in nothing]


def test_a_cache_filled_without_knowledge_is_refused(base, laid_out, knowledge):
    cache = DynamicCache(config=base.config)
    base(input_ids=IDS[:, :3], past_key_values=cache)

    with (
        pytest.raises(RuntimeError, match="filled without knowledge"),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        base(input_ids=IDS[:, 3:], past_key_values=cache)


@pytest.mark.parametrize("passage_attention", ["joint", "independent"])
def test_a_cache_whose_whole_prompt_was_read_without_knowledge_is_refused(
    base, make_model, passage_attention
):
    model = make_model(positions="prompt", passage_attention=passage_attention)
    knowledge = read(model, [[5, 6]])
    cache = DynamicCache(config=base.config)
    base(input_ids=IDS, past_key_values=cache)

    with (
        pytest.raises(RuntimeError, match="filled without knowledge"),
        model.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        base(input_ids=IDS[:, :1], past_key_values=cache)


@pytest.mark.parametrize("passage_attention", ["joint", "independent"])
def test_a_cache_out_of_step_is_refused(base, make_model, passage_attention):
    model = make_model(positions="all", passage_attention=passage_attention)
    knowledge = read(model, [[5, 6]])
    cache = DynamicCache(config=base.config)
    with model.injection.call(knowledge, torch.ones_like(IDS)):
        base(input_ids=IDS, past_key_values=cache)
    base(input_ids=IDS[:, :1], past_key_values=cache)

    with (
        pytest.raises(RuntimeError, match="start again with an empty cache"),
        model.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        base(input_ids=IDS[:, :1], past_key_values=cache)


def test_an_offloaded_cache_is_refused(base, laid_out, knowledge):
    cache = DynamicCache(config=base.config)
    cache.offloading = True

    with (
        pytest.raises(RuntimeError, match="offloaded"),
        laid_out.injection.call(knowledge, torch.ones_like(IDS)),
    ):
        base(input_ids=IDS, past_key_values=cache)


def test_a_bf16_base_runs(base, tokenizer, laid_out, questions, sources):
    encoders = laid_out.encoders
    laid_out.detach()
    model = DiekaeModel(base.to(torch.bfloat16), tokenizer, encoders)

    answers = model.generate(questions, sources, max_new_tokens=5)
    injected = model.score(questions[0], "Kolwick", sources[0])
    nothing = model.score(questions[0], "Kolwick")

    assert len(answers) == 3
    assert injected != pytest.approx(nothing, abs=0.01)


def test_a_bf16_base_with_massive_activations_is_accepted(base, tokenizer, laid_out):
    encoders = laid_out.encoders
    laid_out.detach()
    with torch.no_grad():  # as in trained LLaMAs: one channel a thousand times the others
        base.model.embed_tokens.weight[:, 0] = 1500.0

    model = DiekaeModel(base.to(torch.bfloat16), tokenizer, encoders)

    assert model.injection.is_attached


@pytest.mark.parametrize(
    ("field", "value"), [("base_hidden_size", 48), ("base_num_hidden_layers", 5)]
)
def test_encoders_for_another_shape_are_refused_and_leave_no_hooks(base, make_model, field, value):
    with pytest.raises(ValueError, match=str(value)) as error:
        make_model(**{field: value})

    assert str(getattr(base.config, field.removeprefix("base_"))) in str(error.value)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in base.modules())


def test_given_deltas_are_not_lost_in_silence(model):
    with pytest.raises(RuntimeError, match="nested"), _anything(model), model.injection.adding({}):
        pass
    model.detach()
    with pytest.raises(RuntimeError, match="detached"), model.injection.adding({}):
        pass


def _anything(model):
    knowledge = gather_knowledge(model.encode([[5]]), [[0]], [1])
    return model.injection.call(knowledge, torch.ones(1, 3))

"""Encoders are saved by decoder layer, load bit-identical, and hold nothing of the base model."""

from __future__ import annotations

import json
import pickle
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoModel, LlamaConfig, LlamaForCausalLM

from diekae_rag import DiekaeConfig, DiekaeModel, Encoders
from diekae_rag.files import new_folder, write_json
from diekae_rag.states import gather_knowledge

PASSAGES = ["Ilma Bresk was born in Oltun."]


def deltas(encoders, positions=7):
    torch.manual_seed(3)
    embeddings = torch.randn(2, positions, 32)
    states = encoders.encode_passages(torch.randn(2, 5, 32), torch.ones(2, 5).bool())
    knowledge = gather_knowledge(states, [[0, 1], [1]], [64, 64])
    mask = torch.ones(2, positions, positions).tril().bool()
    at = 64 + torch.arange(positions).expand(2, -1)
    with torch.no_grad():
        return encoders(embeddings, mask, at, knowledge)


def test_what_is_saved_loads_bit_identical(laid_out, tmp_path):
    laid_out.save_pretrained(tmp_path / "a")

    loaded = Encoders.from_pretrained(tmp_path / "a")

    before, after = deltas(laid_out.encoders), deltas(loaded)
    assert list(after) == list(before)
    assert all(torch.equal(after[layer], before[layer]) for layer in before)


@pytest.mark.parametrize("sharing", ["separate", "shared"])
@pytest.mark.parametrize("layers", [[3, 1], [1, 3], [3], [2, 0, 3]])
def test_what_is_saved_for_a_layer_loads_into_that_layer(make_model, tmp_path, sharing, layers):
    model = make_model(sharing=sharing, layers=layers)
    for layer in layers:
        torch.nn.init.constant_(model.encoders.up[str(layer)].weight, float(layer))

    model.save_pretrained(tmp_path / "a")
    loaded = AutoModel.from_pretrained(tmp_path / "a")

    assert loaded.config.layers == sorted(layers)
    assert {n: float(up.weight.detach().mean()) for n, up in loaded.up.items()} == {
        str(layer): float(layer) for layer in layers
    }
    weights = load_file(tmp_path / "a" / "model.safetensors")
    assert {f"up.{layer}.weight" for layer in layers} <= set(weights)


def test_a_subset_of_the_layers_loads_into_its_own_layers(make_model, tmp_path):
    model = make_model(layers=[1, 2, 3])
    model.save_pretrained(tmp_path / "a")

    fewer = Encoders.from_pretrained(tmp_path / "a", config=_config(model, layers=[2]))

    assert torch.equal(fewer.up["2"].weight, model.encoders.up["2"].weight)
    mine, theirs = fewer.bodies["2"].state_dict(), model.encoders.bodies["2"].state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def _config(model, **choices):
    own = set(DiekaeConfig.__annotations__) - {"model_type"}
    return DiekaeConfig(
        **{**{name: getattr(model.encoders.config, name) for name in own}, **choices}
    )


def test_weights_that_are_missing_are_an_error(make_model, tmp_path):
    model = make_model(layers=[1, 3])
    model.save_pretrained(tmp_path / "a")
    weights = load_file(tmp_path / "a" / "model.safetensors")
    del weights["up.3.weight"]
    save_file(weights, tmp_path / "a" / "model.safetensors", {"format": "pt"})

    with pytest.raises((ValueError, RuntimeError, OSError), match=r"up\.3"):
        DiekaeModel.from_pretrained(tmp_path / "a", base=model.base, tokenizer=model.tokenizer)


def test_weights_of_another_size_than_the_config_says_are_an_error(model, tmp_path):
    model.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))

    with pytest.raises(ValueError, match=r"gate_proj.*Copy the folder again"):
        DiekaeModel.from_pretrained(tmp_path / "a", base=model.base, tokenizer=model.tokenizer)


def test_the_folder_holds_nothing_of_the_base_model(laid_out, tmp_path):
    laid_out.save_pretrained(tmp_path / "a")

    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    weights = load_file(tmp_path / "a" / "model.safetensors")
    assert names == ["config.json", "model.safetensors"]
    assert set(weights) == {name for name, _ in laid_out.encoders.named_parameters()}
    vocab_size = laid_out.base.config.vocab_size
    assert not any(vocab_size in weight.shape for weight in weights.values())
    size = (tmp_path / "a" / "model.safetensors").stat().st_size
    assert size < 4 * sum(w.numel() for w in weights.values()) + 20_000


def test_saving_again_replaces_what_was_there(make_model, tmp_path):
    make_model(layers=[0]).save_pretrained(tmp_path / "a")

    make_model(layers=[3]).save_pretrained(tmp_path / "a")

    assert Encoders.from_pretrained(tmp_path / "a").config.layers == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_saving_never_deletes_what_it_did_not_write(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")

    with suppress(ValueError, FileExistsError):
        model.save_pretrained(tmp_path)

    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_untrained_encoders_leave_the_base_model_as_it_is(base, tokenizer, laid_out, questions):
    config = laid_out.encoders.config
    laid_out.detach()
    untrained = DiekaeModel(base, tokenizer, Encoders(config))

    scores = [
        untrained.score(q, "Oltun", PASSAGES, m) for q in questions for m in ("inject", "none")
    ]

    assert scores[::2] == scores[1::2]
    assert all(not up.weight.any() for up in untrained.encoders.up.values())
    assert any(p.any() for p in untrained.encoders.bodies.parameters())


def test_a_whole_model_is_saved_and_loaded(base, tokenizer, make_model, tmp_path, questions):
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model = make_model(positions="all", sharing="shared")
    model.encoders.config.base_model_name_or_path = "../base"
    expected = model.generate(questions[2], PASSAGES, max_new_tokens=8).text

    model.encoders.save_pretrained(tmp_path / "encoders")
    loaded = DiekaeModel.from_pretrained(tmp_path / "encoders")

    assert loaded.generate(questions[2], PASSAGES, max_new_tokens=8).text == expected
    assert loaded.generate("Who?", ["</s>[SYS]"], max_new_tokens=1).usage.new_tokens == 1


def test_loading_over_a_base_model_at_hand(model, tmp_path, questions):
    expected = model.generate(questions[2], PASSAGES, max_new_tokens=8).text
    model.save_pretrained(tmp_path / "a")
    model.detach()

    loaded = DiekaeModel.from_pretrained(tmp_path / "a", base=model.base, tokenizer=model.tokenizer)

    assert loaded.generate(questions[2], PASSAGES, max_new_tokens=8).text == expected
    with pytest.raises(TypeError, match="dtype"):
        DiekaeModel.from_pretrained(tmp_path / "a", base=model.base, dtype="bfloat16")


def test_a_base_model_in_half_precision_loads(base, tokenizer, model, tmp_path):
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    model.encoders.config.base_model_name_or_path = "../base"
    model.encoders.save_pretrained(tmp_path / "a")

    loaded = DiekaeModel.from_pretrained(tmp_path / "a", dtype=torch.bfloat16)

    assert loaded.base.dtype == torch.bfloat16
    assert loaded.generate("Who?", PASSAGES, max_new_tokens=2).usage.new_tokens == 2


@pytest.mark.parametrize("name", ["nowhere", "/nowhere/at/all", "./nowhere", "a/b/c", ""])
def test_a_folder_that_is_not_there_is_a_clear_error(name):
    with pytest.raises(FileNotFoundError, match="no"):
        DiekaeModel.from_pretrained(name)


def test_a_folder_without_encoders_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        DiekaeModel.from_pretrained(tmp_path)


def test_a_folder_of_another_model_is_a_clear_error(base, tmp_path):
    base.save_pretrained(tmp_path)

    with pytest.raises(ValueError, match=r"llama|unknown config field"):
        DiekaeModel.from_pretrained(tmp_path)


def test_encoders_that_name_no_base_are_a_clear_error(model, tmp_path):
    model.save_pretrained(tmp_path / "a")

    with pytest.raises(ValueError, match="base="):
        DiekaeModel.from_pretrained(tmp_path / "a")


def test_a_base_that_is_not_there_is_a_clear_error(model, tmp_path):
    model.encoders.config.base_model_name_or_path = "../gone"
    model.encoders.save_pretrained(tmp_path / "a")

    with pytest.raises(FileNotFoundError, match="gone"):
        DiekaeModel.from_pretrained(tmp_path / "a")


def test_encoders_of_another_base_are_a_clear_error(model, tmp_path):
    model.save_pretrained(tmp_path / "a")
    other = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=400,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
        )
    )

    with pytest.raises(ValueError, match=r"hidden_size 32.*64"):
        DiekaeModel.from_pretrained(tmp_path / "a", base=other, tokenizer=model.tokenizer)


def test_an_interrupted_save_leaves_what_was_there(tmp_path):
    with new_folder(tmp_path / "a") as temporary:
        write_json(temporary / "x.json", 1)

    with suppress(KeyboardInterrupt), new_folder(tmp_path / "a") as temporary:
        write_json(temporary / "x.json", 2)
        raise KeyboardInterrupt

    assert json.loads((tmp_path / "a" / "x.json").read_text()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_move_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    with new_folder(tmp_path / "a") as temporary:
        write_json(temporary / "x.json", 1)
    rename = type(tmp_path).rename

    def fail(path, target):
        if str(target) == str(tmp_path / "a") and "previous" not in path.name:
            raise OSError("disk full")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", fail)
    with pytest.raises(OSError, match="disk full"), new_folder(tmp_path / "a") as temporary:
        write_json(temporary / "x.json", 2)

    assert json.loads((tmp_path / "a" / "x.json").read_text()) == 1


@pytest.mark.parametrize("passage_direction", ["causal", "both"])
def test_padding_of_passages_moves_no_real_state(make_model, passage_direction):
    encoders = make_model(passage_direction=passage_direction).encoders
    embeddings = torch.randn(2, 6, 32)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])

    together = encoders.encode_passages(embeddings, mask)
    alone = encoders.encode_passages(embeddings[1:, :4], mask[1:, :4])

    torch.testing.assert_close(together.keys[:, 1:, :, :4], alone.keys)
    torch.testing.assert_close(together.values[:, 1:, :, :4], alone.values)


@pytest.mark.parametrize("sharing", ["shared", "separate"])
@pytest.mark.parametrize("passage_direction", ["causal", "both"])
def test_states_are_those_of_a_whole_reading(make_model, passage_direction, sharing):
    encoders = make_model(passage_direction=passage_direction, sharing=sharing).encoders
    embeddings = torch.randn(2, 6, 32)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])

    states = encoders.encode_passages(embeddings, mask)
    whole, reading = encoders.read_passages(embeddings, mask)

    assert reading.shape == (2, 6, encoders.config.hidden_size)
    torch.testing.assert_close(states.keys, whole.keys)
    torch.testing.assert_close(states.values, whole.values)


def test_read_causally_a_token_sees_nothing_that_comes_after_it(make_model):
    encoders = make_model(passage_direction="causal").encoders
    embeddings, mask = torch.randn(1, 6, 32), torch.ones(1, 6).bool()

    whole = encoders.encode_passages(embeddings, mask)
    begun = encoders.encode_passages(embeddings[:, :4], mask[:, :4])

    torch.testing.assert_close(whole.keys[:, :, :, :4], begun.keys)
    torch.testing.assert_close(whole.values[:, :, :, :4], begun.values)


@pytest.mark.parametrize("change", ["in place", "loaded", "cast", "replaced"])
def test_weights_that_change_are_seen_at_once(make_model, change):
    encoders, other = make_model().encoders, make_model().encoders
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(0.1)
    before, want = deltas(encoders), deltas(other)

    with torch.no_grad():
        if change == "in place":
            for weight, new in zip(encoders.parameters(), other.parameters(), strict=True):
                weight.copy_(new)
        elif change == "loaded":
            encoders.load_state_dict(other.state_dict())
        elif change == "cast":
            encoders.load_state_dict({n: w.double() for n, w in other.state_dict().items()})
            encoders.double().float()
        else:
            for weight, new in zip(encoders.parameters(), other.parameters(), strict=True):
                weight.data = torch.zeros_like(weight)
                weight.data = new.data.clone()

    after = deltas(encoders)
    assert all(torch.equal(after[layer], want[layer]) for layer in want)
    assert not any(torch.equal(after[layer], before[layer]) for layer in want)


@pytest.mark.parametrize("which", ["bodies.1.down", "bodies.3.norm", "up.3"])
def test_one_weight_that_changes_is_seen_too(make_model, which):
    encoders, twin = make_model().encoders, make_model().encoders
    before = deltas(encoders)
    with torch.no_grad():
        for each in (encoders, twin):
            each.get_submodule(which).weight.mul_(1.5)

    after, want = deltas(encoders), deltas(twin)

    assert all(torch.equal(after[layer], want[layer]) for layer in want)
    assert any(not torch.equal(after[layer], before[layer]) for layer in want)


@pytest.mark.parametrize("is_fused", [True, False])
def test_a_step_of_training_is_seen_whoever_writes_it(make_model, is_fused):
    model = make_model(passage_attention="independent")
    encoders, before = model.encoders, model.fingerprint
    old = deltas(encoders)
    optimizer = torch.optim.AdamW(encoders.parameters(), lr=0.05, fused=is_fused)
    for weight in encoders.parameters():
        weight.grad = torch.ones_like(weight)

    optimizer.step()

    assert model.fingerprint != before
    after = deltas(encoders)
    with torch.enable_grad():
        read = Encoders(encoders.config)
        read.load_state_dict(encoders.state_dict())
    for layer, delta in deltas(read).items():
        assert torch.equal(after[layer], delta)
        assert not torch.equal(after[layer], old[layer])


def test_what_is_computed_from_weights_is_not_pickled(model):
    empty = len(pickle.dumps(model.encoders))

    deltas(model.encoders)

    copied = pickle.loads(pickle.dumps(model.encoders))
    assert len(pickle.dumps(model.encoders)) == empty
    assert all(
        torch.equal(a, b)
        for a, b in zip(copied.parameters(), model.encoders.parameters(), strict=True)
    )


@pytest.mark.parametrize("sharing", ["separate", "shared"])
def test_where_gradient_flows_the_deltas_are_the_same(make_model, sharing):
    encoders = make_model(sharing=sharing).encoders
    embeddings, passages = torch.randn(2, 5, 32), torch.randn(2, 3, 32)
    mask = torch.ones(2, 5, 5).tril().bool()
    at = 64 + torch.arange(5).expand(2, -1)

    def read():
        states = encoders.encode_passages(passages, torch.ones(2, 3).bool())
        knowledge = gather_knowledge(states, [[0, 1], [1]], [64, 64])
        return encoders(embeddings, mask, at, knowledge)

    learning = read()
    with torch.no_grad():
        answering = read()

    assert learning[1].requires_grad
    for layer, delta in answering.items():
        assert_close(delta, learning[layer].detach(), atol=1e-5, rtol=1e-4)


def test_weights_that_were_loaded_for_inference_alone_can_be_used(make_model):
    encoders = make_model().encoders
    want = deltas(encoders)

    with torch.inference_mode():
        loaded = Encoders(encoders.config)
        loaded.load_state_dict(encoders.state_dict())

    assert all(torch.equal(got, want[layer]) for layer, got in deltas(loaded).items())

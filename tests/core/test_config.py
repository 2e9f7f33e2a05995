"""Every field of the config changes something, and what cannot be is refused at construction."""

from __future__ import annotations

import copy
import json
import warnings

import pytest
import torch
from transformers import AutoConfig

from diekae_rag import DiekaeConfig, Encoders
from diekae_rag.locations import Location
from diekae_rag.states import Knowledge

SMALL = {
    "layers": [1, 3],
    "base_num_hidden_layers": 4,
    "base_hidden_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
# What only shapes, and what changes what is computed with the same weights.
SHAPES = {
    "base_hidden_size": 48,
    "layers": [0, 3],
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "sharing": "shared",
}
OUTPUTS = {
    "num_attention_heads": 4,
    "rope_theta": 100.0,
    "rms_norm_eps": 0.5,
    "positions": "all",
    "passage_attention": "independent",
    "passage_direction": "both",
    "max_passage_tokens": 12,
    "max_passages": 1,
    "wording": {"passage": "Note: {passage} ", "prompt": "Q {prompt} A", "answer": "{answer}"},
}


def shapes_of(**choices):
    encoders = Encoders(DiekaeConfig(**{**SMALL, **choices}))
    return {name: tuple(p.shape) for name, p in encoders.named_parameters()}


def score(make_model, **choices):
    model = make_model(**{"sharing": "separate", **choices})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.score("Where was she?", "In Oltun", ["Ada was born in Turin.", "B."])


@pytest.mark.parametrize("field", list(SHAPES))
def test_every_shape_of_the_config_changes_weights(field):
    assert shapes_of(**{field: SHAPES[field]}) != shapes_of()


@pytest.mark.parametrize("field", list(OUTPUTS))
def test_every_choice_of_the_config_changes_what_comes_out(make_model, field):
    assert score(make_model, **{field: OUTPUTS[field]}) != score(make_model)


@pytest.mark.parametrize(("site", "is_mlp"), [("mlp", True), ("layer", False)])
def test_the_site_says_whose_output_is_changed(make_model, site, is_mlp):
    model = make_model(site=site, layers=[3])
    seen = []
    model.base.model.layers[3].mlp.register_forward_hook(lambda _m, _a, output: seen.append(output))

    model.score("Where was she?", "In Oltun", ["Ada was born in Turin."], "none")
    model.score("Where was she?", "In Oltun", ["Ada was born in Turin."], "inject")

    assert is_mlp != torch.equal(*seen)


@pytest.mark.parametrize(("place", "speaks"), [("passages", False), ("weights", True)])
def test_where_the_knowledge_is_says_whether_a_prompt_alone_is_answered(make_model, place, speaks):
    model = make_model()
    model.encoders.config.knowledge_in = place
    ids = torch.tensor([[5, 6, 7]])
    nothing = Knowledge.empty(1, model.encoders.config, ids.device)
    with torch.no_grad():
        plain = model.base(ids).logits
        with model.injection.call(nothing, torch.ones_like(ids).bool()):
            injected = model.base(ids).logits

    assert speaks != torch.equal(plain, injected)


def test_the_initial_spread_changes_the_initial_weights():
    spreads = [
        Encoders(DiekaeConfig(**SMALL, initializer_range=spread))
        .bodies["1"]
        .down.weight.detach()
        .std()
        for spread in (0.02, 0.2)
    ]

    assert float(spreads[1]) > 5 * float(spreads[0])


def test_the_depth_of_the_base_bounds_the_layers():
    with pytest.raises(ValueError, match=r"0\.\.2"):
        DiekaeConfig(**{**SMALL, "base_num_hidden_layers": 3})


def test_the_base_models_name_and_revision_are_what_is_loaded():
    config = DiekaeConfig(**SMALL, base_model_name_or_path="a/b", base_model_revision="v1")

    assert Location("x/y", None).base(config) == ("a/b", "v1")


def test_no_field_of_the_config_is_untested():
    elsewhere = {
        "initializer_range",
        "knowledge_in",
        "site",
        "base_num_hidden_layers",
        "base_model_name_or_path",
        "base_model_revision",
    }

    own = set(DiekaeConfig.__annotations__) - {"model_type"}

    assert own == {*SHAPES, *OUTPUTS} | elsewhere


def test_the_papers_encoders_have_as_many_weights_as_the_paper_says():
    with torch.device("meta"):
        encoders = Encoders(DiekaeConfig())

    assert sum(p.numel() for p in encoders.parameters()) == 12_589_824


@pytest.mark.parametrize(
    "field", ["sharing", "positions", "passage_attention", "site", "knowledge_in"]
)
def test_a_choice_that_does_not_exist_is_refused_and_told_which_do(field):
    with pytest.raises(ValueError, match=f"{field} must be one of"):
        DiekaeConfig(**SMALL, **{field: "other"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"layers": []},
        {"layers": [1, 1]},
        {"layers": [-1]},
        {"layers": [4]},
        {"layers": 3},
        pytest.param(
            {"layers": [1.5]},
        ),
        {"layers": ["1"]},
        pytest.param(
            {"num_attention_heads": 0},
        ),
        {"num_attention_heads": 3},
        {"num_attention_heads": 16},
        pytest.param(
            {"num_attention_heads": -2},
        ),
        {"hidden_size": 0},
        {"hidden_size": -16},
        pytest.param(
            {"base_hidden_size": 0},
        ),
        {"base_num_hidden_layers": 0},
        pytest.param(
            {"intermediate_size": 0},
        ),
        {"num_hidden_layers": 0},
        {"max_passage_tokens": 0},
        {"max_passages": 0},
        pytest.param(
            {"rope_theta": 0.0},
        ),
        pytest.param(
            {"rope_theta": -1.0},
        ),
        pytest.param(
            {"rms_norm_eps": -1.0},
        ),
        pytest.param(
            {"initializer_range": -0.1},
        ),
        {"wording": {"passage": "no placeholder"}},
        {"wording": {"passage": 5}},
        {"wording": "x"},
        {"layers": [True, False]},
        {"max_passage_tokens": "64"},
        {"hidden_size": 16.0},
        {"wording": {"prompt": "{prompt}{prompt}"}},
    ],
    ids=str,
)
def test_a_shape_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DiekaeConfig(**{**SMALL, **wrong})


@pytest.mark.parametrize("field", ["num_layers", "dim", "layer", "enc_dim", "vocab_size"])
def test_an_unknown_field_is_refused_and_told_which_there_are(field):
    with pytest.raises(ValueError, match=f"{field}.*num_hidden_layers"):
        DiekaeConfig(**SMALL, **{field: 3})


def test_an_unknown_field_of_the_wording_is_refused():
    with pytest.raises((ValueError, TypeError), match="question"):
        DiekaeConfig(**SMALL, wording={"question": "{question}"})


def test_the_order_in_which_layers_are_named_does_not_matter():
    assert DiekaeConfig(**{**SMALL, "layers": (3, 1)}).layers == [1, 3]


def test_a_config_survives_saving_and_loading(tmp_path):
    config = DiekaeConfig(**{**SMALL, **OUTPUTS, "layers": [3, 1], "base_model_revision": "v1"})

    config.save_pretrained(tmp_path)

    for loaded in (DiekaeConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, DiekaeConfig)
        own = DiekaeConfig.__annotations__
        assert {n: getattr(loaded, n) for n in own} == {n: getattr(config, n) for n in own}


def test_a_config_survives_its_dict():
    config = DiekaeConfig(**SMALL, sharing="shared")

    assert DiekaeConfig.from_dict(config.to_dict()).to_dict() == config.to_dict()


def test_a_config_can_be_copied():
    config = DiekaeConfig(**SMALL, positions="all")

    assert copy.deepcopy(config).to_dict() == config.to_dict()


def test_an_unknown_field_in_a_saved_config_is_refused(tmp_path):
    DiekaeConfig(**SMALL).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_encoders": 3}))

    with pytest.raises(ValueError, match="num_encoders"):
        DiekaeConfig.from_pretrained(tmp_path)

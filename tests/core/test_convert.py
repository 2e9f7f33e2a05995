"""Encoders of the released code give the same after conversion.

The reference here is written from the method's description: interleaved rotary pairs, encoders
named by position.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from diekae_rag import DiekaeConfig
from diekae_rag.convert import convert_released, read_released
from diekae_rag.encoders import Encoders
from diekae_rag.states import Knowledge

VOCABULARY, WIDTH, SIZE, INNER, HEADS, BLOCKS, LAYERS = 50, 24, 16, 40, 4, 2, [2, 5]


def _state(generator: torch.Generator) -> dict[str, Tensor]:
    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    state = {
        "tok_embeddings.weight": random(VOCABULARY, WIDTH),
        "downscaler.weight": random(SIZE, WIDTH),
        "upscaler.weight": random(WIDTH, SIZE),
        "norm.weight": 1 + random(SIZE),
    }
    for block in range(BLOCKS):
        at = f"layers.{block}"
        for name in ("wq", "wk", "wv", "wo"):
            state[f"{at}.attention.{name}.weight"] = random(SIZE, SIZE)
        state[f"{at}.feed_forward.w1.weight"] = random(INNER, SIZE)
        state[f"{at}.feed_forward.w2.weight"] = random(SIZE, INNER)
        state[f"{at}.feed_forward.w3.weight"] = random(INNER, SIZE)
        state[f"{at}.attention_norm.weight"] = 1 + random(SIZE)
        state[f"{at}.ffn_norm.weight"] = 1 + random(SIZE)
    return state


@pytest.fixture
def released() -> dict[str, object]:
    generator = torch.Generator().manual_seed(0)
    states = {f"encoder{n}": _state(generator) for n in range(len(LAYERS))}
    config = {"enc_dim": SIZE, "enc_n_layers": BLOCKS, "encoder_layers": LAYERS}
    return {**states, "config": {**config, "model_name": "meta-llama/Llama-2-7b-hf"}}


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight


def _rotate(x: Tensor) -> Tensor:
    """Turns neighbouring pairs of ``[T, H, d]`` by their position."""
    length, _, size = x.shape
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(length)[:, None] * frequencies
    turned = torch.polar(torch.ones_like(angles), angles)[:, None]
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], size // 2, 2).contiguous())
    return torch.view_as_real(pairs * turned).flatten(-2)


def _read(state: dict[str, Tensor], ids: Tensor) -> Tensor:
    """What the released encoder outputs for ``[T]`` tokens: ``[T, D]``."""
    hidden = state["tok_embeddings.weight"][ids] @ state["downscaler.weight"].T
    length = len(ids)
    for block in range(BLOCKS):
        w = {n.removeprefix(f"layers.{block}."): v for n, v in state.items()}
        normed = _norm(hidden, w["attention_norm.weight"])
        q, k, v = (
            (normed @ w[f"attention.{n}.weight"].T).view(length, HEADS, -1)
            for n in ("wq", "wk", "wv")
        )
        q, k = _rotate(q), _rotate(k)
        scores = torch.einsum("thd,shd->hts", q, k) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -torch.inf)
        mixed = torch.einsum("hts,shd->thd", scores.softmax(-1), v).reshape(length, SIZE)
        hidden = hidden + mixed @ w["attention.wo.weight"].T
        normed = _norm(hidden, w["ffn_norm.weight"])
        gate = functional.silu(normed @ w["feed_forward.w1.weight"].T)
        inner = gate * (normed @ w["feed_forward.w3.weight"].T)
        hidden = hidden + inner @ w["feed_forward.w2.weight"].T
    return _norm(hidden, state["norm.weight"]) @ state["upscaler.weight"].T


@torch.no_grad()
def test_converted_encoders_give_what_the_released_ones_give(released):
    encoders = convert_released(released, num_attention_heads=HEADS)
    ids = torch.randint(VOCABULARY, (9,), generator=torch.Generator().manual_seed(1))
    nothing = torch.zeros(BLOCKS, 1, len(LAYERS) * HEADS, 0, SIZE // HEADS)
    knowledge = Knowledge(
        nothing, nothing, torch.zeros(1, 0, dtype=torch.bool), torch.zeros(1, dtype=torch.long)
    )
    mask, positions = torch.ones(9, 9).tril().bool()[None], torch.arange(9)[None]

    for number, layer in enumerate(LAYERS):
        state = released[f"encoder{number}"]
        embeddings = state["tok_embeddings.weight"][ids][None]
        deltas = encoders(embeddings, mask, positions, knowledge)
        torch.testing.assert_close(deltas[layer][0], _read(state, ids), atol=1e-5, rtol=0)


def test_the_base_model_and_the_shape_come_from_the_file(released):
    config = convert_released(released, num_attention_heads=HEADS).config

    assert config.base_model_name_or_path == "meta-llama/Llama-2-7b-hf"
    assert (config.layers, config.hidden_size, config.intermediate_size) == (LAYERS, SIZE, INNER)
    assert (config.base_hidden_size, config.num_hidden_layers) == (WIDTH, BLOCKS)


def test_a_file_is_read_without_running_anything(released, tmp_path):
    torch.save(released, tmp_path / "encoders.pt")

    encoders = convert_released(read_released(tmp_path / "encoders.pt"), num_attention_heads=HEADS)
    encoders.save_pretrained(tmp_path / "converted")

    again = Encoders.from_pretrained(tmp_path / "converted")
    assert isinstance(again.config, DiekaeConfig)
    assert all(torch.equal(w, again.state_dict()[n]) for n, w in encoders.state_dict().items())


class _Hostile:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize(
    "content", [{"encoder0": _Hostile()}, {"weights": {}}, [1, 2]], ids=["code", "other", "list"]
)
def test_any_other_file_is_refused(content, tmp_path, capsys):
    torch.save(content, tmp_path / "x.pt")

    with pytest.raises(ValueError, match="released code saved"):
        read_released(tmp_path / "x.pt")

    assert "ran" not in capsys.readouterr().out


def test_a_file_that_is_no_checkpoint_or_not_there_is_refused(tmp_path):
    (tmp_path / "x.pt").write_text("hello")

    with pytest.raises(ValueError, match="cannot be read"):
        read_released(tmp_path / "x.pt")
    with pytest.raises(FileNotFoundError, match="no file"):
        read_released(tmp_path / "y.pt")


def test_weights_that_do_not_fit_are_named(released):
    released["encoder1"] = dict(released["encoder1"])
    del released["encoder1"]["layers.1.ffn_norm.weight"]

    with pytest.raises(ValueError, match=r"bodies\.5\.layers\.1\.post_attention_layernorm"):
        convert_released(released, num_attention_heads=HEADS)


def test_layers_and_encoders_must_be_as_many(released):
    released["config"] = {"encoder_layers": [2]}

    with pytest.raises(ValueError, match="as many"):
        convert_released(released, num_attention_heads=HEADS)

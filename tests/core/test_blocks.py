"""Several encoders' blocks run as one give what transformers' layers give one by one."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from diekae_rag.blocks import Blocks

CONFIG = LlamaConfig(hidden_size=16, intermediate_size=24, num_attention_heads=2, rms_norm_eps=1e-5)
CONFIG._attn_implementation = "sdpa"


def layers(count: int) -> list[LlamaDecoderLayer]:
    """Random ones, norms too."""
    torch.manual_seed(0)
    made = [LlamaDecoderLayer(CONFIG, 0) for _ in range(count)]
    for layer in made:
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, mean=float(weight.ndim == 1), std=0.3)
    return made


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_blocks_side_by_side_are_transformers_layers_one_by_one(count, is_masked):
    apart = layers(count)
    together = Blocks.stack(apart, num_heads=2, eps=1e-5)
    hidden = torch.randn(count, 2, 5, 16, requires_grad=True)
    positions = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]])
    rotary = LlamaRotaryEmbedding(CONFIG)(hidden[0], position_ids=positions)
    mask = (torch.rand(2, 1, 5, 5) > 0.5) | torch.eye(5).bool() if is_masked else None

    output = together.run(hidden, rotary, mask, lambda keys, values: (keys, values))
    want = torch.stack(
        [
            layer(one, attention_mask=mask, position_embeddings=rotary)
            for layer, one in zip(apart, hidden, strict=True)
        ]
    )

    torch.testing.assert_close(output, want, atol=1e-5, rtol=1e-5)
    weights = [hidden, *(weight for layer in apart for weight in layer.parameters())]
    upstream = torch.randn_like(output)
    mine = torch.autograd.grad(output, weights, upstream)
    theirs = torch.autograd.grad(want, weights, upstream)
    for ours, reference in zip(mine, theirs, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-4, rtol=1e-4)


def test_keys_and_values_are_those_that_a_whole_run_remembers():
    blocks = Blocks.stack(layers(3), num_heads=2, eps=1e-5)
    hidden = torch.randn(3, 2, 5, 16)
    rotary = LlamaRotaryEmbedding(CONFIG)(hidden[0], position_ids=torch.arange(5)[None])
    kept = []

    def remember(keys, values):
        kept.extend((keys, values))
        return keys, values

    blocks.run(hidden, rotary, None, remember)

    for mine, theirs in zip(blocks.keys_and_values(hidden, rotary), kept, strict=True):
        assert mine.shape == (2, 6, 5, 8)
        torch.testing.assert_close(mine, theirs)

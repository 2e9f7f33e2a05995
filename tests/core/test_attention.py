"""The encoders' attention: what transformers' own gives, whatever the precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diekae_rag.attention import encoder_attention


class Causal(nn.Module):
    """What attention asks of a layer."""

    is_causal = True


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_in_any_precision_is_the_softmax_of_scores(dtype, requires_grad, is_masked):
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(2, 3, 5, 4).to(dtype).requires_grad_(requires_grad) for _ in range(3)
    )
    visible = torch.ones(5, 5, dtype=torch.bool).tril()
    mask = visible.expand(2, 1, 5, 5) if is_masked else None

    output, weights = encoder_attention(Causal(), query, key, value, mask, scaling=0.5)

    scores = 0.5 * query.double() @ key.double().transpose(2, 3)
    want = scores.masked_fill(~visible, -torch.inf).softmax(-1) @ value.double()
    assert (output.dtype, weights) == (dtype, None)
    loose = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(output.double(), want.transpose(1, 2), atol=loose, rtol=loose)


def test_gradient_of_low_precision_is_that_of_float32_but_for_one_rounding():
    torch.manual_seed(0)
    leaves = [torch.randn(1, 4, 64, 4).bfloat16().requires_grad_() for _ in range(3)]
    exact = [leaf.detach().float().requires_grad_() for leaf in leaves]

    encoder_attention(Causal(), *leaves, None)[0].float().square().sum().backward()
    low = encoder_attention(Causal(), *exact, None)[0].bfloat16().float().square().sum()
    low.backward()

    for leaf, reference in zip(leaves, exact, strict=True):
        torch.testing.assert_close(leaf.grad, reference.grad.bfloat16(), atol=0.0, rtol=0.01)

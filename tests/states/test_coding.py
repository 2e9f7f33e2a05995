"""One passage's states as bytes: exact in their own precision, close in int8."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diekae_rag.states.coding import STATE_DTYPES, StateCode

TOKENS = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(code: StateCode, num_tokens: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    shape = (2, code.num_blocks, code.num_heads, num_tokens, code.head_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def unpacked(code: StateCode, states: torch.Tensor) -> torch.Tensor:
    return code.unpack(bytearray(code.pack(states)), states.shape[3])


@pytest.mark.parametrize("dtype", [name for name in STATE_DTYPES if name != "int8"])
@given(num_tokens=TOKENS, seed=SEEDS)
def test_what_is_written_in_its_own_precision_comes_back_bit_for_bit(dtype, num_tokens, seed):
    code = StateCode(2, 3, 4, dtype)
    states = drawn(code, num_tokens, seed).to(getattr(torch, dtype))

    assert torch.equal(unpacked(code, states), states)


@given(num_tokens=TOKENS, seed=SEEDS, scale=st.sampled_from([1e-9, 1.0, 1e9]))
def test_int8_is_off_by_half_a_step_at_most(num_tokens, seed, scale):
    code = StateCode(2, 3, 4, "int8")
    states = drawn(code, num_tokens, seed, scale)

    step = states.abs().amax(-1, keepdim=True) / 127
    assert bool(((unpacked(code, states) - states).abs() <= step * 0.51).all())


@pytest.mark.parametrize("dtype", STATE_DTYPES)
@given(num_tokens=TOKENS)
def test_the_length_is_known_beforehand(dtype, num_tokens):
    code = StateCode(2, 3, 4, dtype)

    assert len(code.pack(drawn(code, num_tokens, 0))) == code.num_bytes(num_tokens)


def test_zeros_stay_zeros_in_int8():
    code = StateCode(1, 1, 4, "int8")

    assert not unpacked(code, torch.zeros(2, 1, 1, 3, 4)).any()


@pytest.mark.parametrize("dtype", STATE_DTYPES)
def test_what_is_no_number_is_refused(dtype):
    code = StateCode(1, 1, 4, dtype)

    with pytest.raises(ValueError, match="not finite"):
        code.pack(torch.full((2, 1, 1, 3, 4), float("nan")))


def test_what_is_too_large_is_refused():
    code = StateCode(1, 1, 4, "float16")

    with pytest.raises(ValueError, match="too large"):
        code.pack(torch.full((2, 1, 1, 3, 4), 1e30))


def test_a_7b_model_keeps_what_the_readme_says():
    stuffed = 32 * 2 * 4096 * 2

    assert StateCode(4, 24, 32, "bfloat16").num_bytes(1) == 12288 == stuffed * 3 // 128
    assert StateCode(4, 24, 32, "int8").num_bytes(1) == 6528


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="float32, float16, bfloat16, int8; got 'int4'"):
        StateCode(1, 1, 4, "int4")

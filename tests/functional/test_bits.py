import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.functional import pack_bits, unpack_bits


@given(bits=st.lists(st.booleans(), min_size=1, max_size=200))
def test_unpack_undoes_pack(bits: list[bool]) -> None:
    x = torch.tensor(bits)
    assert torch.equal(unpack_bits(pack_bits(x), len(bits)), x)


@pytest.mark.parametrize("count", [1, 8, 9, 196])
def test_packing_is_along_the_last_axis_and_eight_to_a_byte(count: int) -> None:
    x = torch.rand(3, 5, count) > 0.5
    packed = pack_bits(x)
    assert packed.shape == (3, 5, -(-count // 8))
    assert np.array_equal(packed.numpy(), np.packbits(x.numpy(), axis=-1))
    assert torch.equal(unpack_bits(packed, count), x)

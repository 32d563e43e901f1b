import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from net2vec_pl.functional.quantile import tail_length, upper_quantile

TAUS = st.floats(1e-6, 1 - 1e-6)


def tail_of(values: Tensor, tau: float) -> Tensor:
    return values.sort(dim=1, descending=True).values[:, : tail_length(values.shape[1], tau)]


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=80),
    tau=TAUS,
)
def test_is_numpys_quantile(values: list[float], tau: float) -> None:
    sample = torch.tensor([values])
    found = upper_quantile(tail_of(sample, tau), len(values), tau)
    expected = np.quantile(sample.numpy().astype(np.float64), 1 - tau)
    assert found.item() == pytest.approx(expected, rel=1e-5, abs=1e-3)


@given(num_values=st.integers(1, 10**9), tau=TAUS)
def test_the_tail_is_as_long_as_needed_and_no_longer(num_values: int, tau: float) -> None:
    length = tail_length(num_values, tau)
    assert 1 <= length <= num_values
    position = (num_values - 1) * tau
    assert length == num_values or length - 2 <= position < length - 1


@given(
    value=st.floats(2.0**-60, 2.0**60, width=32),
    count=st.integers(2, 50),
    tau=TAUS,
    sign=st.sampled_from([-1, 1]),
)
def test_the_quantile_of_equal_values_is_their_value(
    value: float, count: int, tau: float, sign: int
) -> None:
    # Else a saturated filter (a ReLU6 at 6) would fire where it is saturated, or not, by rounding.
    tied = torch.full((1, count), sign * value)
    assert upper_quantile(tail_of(tied, tau), count, tau).item() == tied[0, 0].item()


@given(
    values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=30),
    tau=TAUS,
)
def test_the_quantile_lies_between_its_neighbours(values: list[float], tau: float) -> None:
    tail = tail_of(torch.tensor([values]), tau)
    found = upper_quantile(tail, len(values), tau).item()
    position = math.floor((len(values) - 1) * tau)
    assert float(tail[0, -1]) <= found <= float(tail[0, position])


def test_rows_do_not_mix() -> None:
    sample = torch.rand(5, 400, generator=torch.Generator().manual_seed(0))
    together = upper_quantile(tail_of(sample, 0.03), 400, 0.03)
    for row, value in zip(sample, together, strict=True):
        assert upper_quantile(tail_of(row[None], 0.03), 400, 0.03).item() == value.item()


def test_a_tail_longer_than_needed_changes_nothing() -> None:
    sample = torch.rand(3, 100, generator=torch.Generator().manual_seed(0))
    ordered = sample.sort(dim=1, descending=True).values
    short = upper_quantile(tail_of(sample, 0.07), 100, 0.07)
    assert torch.equal(short, upper_quantile(ordered, 100, 0.07))


def test_a_tail_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a tail of 3 values does not reach position 4\.9"):
        upper_quantile(torch.tensor([[3.0, 2.0, 1.0]]), 99, 0.05)

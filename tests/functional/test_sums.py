"""Sums by group are loops in a fixed order."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from net2vec_pl.functional import sum_rows


@given(
    group=st.lists(st.integers(0, 4), max_size=30),
    spare=st.integers(0, 3),
    width=st.integers(1, 4),
)
def test_rows_are_summed_by_group_in_their_order(group: list[int], spare: int, width: int) -> None:
    generator = torch.Generator().manual_seed(2)
    values = torch.randn(len(group), width, generator=generator)
    expected = torch.zeros(5 + spare, width)
    for value, g in zip(values, group, strict=True):
        expected[g] += value
    found = sum_rows(values, torch.tensor(group, dtype=torch.int64), 5 + spare)
    torch.testing.assert_close(found, expected)
    again = sum_rows(values, torch.tensor(group, dtype=torch.int64), 5 + spare)
    assert torch.equal(found, again)


def test_groups_without_rows_are_zero_and_no_rows_are_no_sums() -> None:
    assert sum_rows(torch.ones(1, 2), torch.tensor([2]), 4).tolist() == [
        [0, 0], [0, 0], [1, 1], [0, 0],
    ]  # fmt: skip
    nothing = sum_rows(torch.ones(0, 2), torch.zeros(0, dtype=torch.int64), 3)
    assert torch.equal(nothing, torch.zeros(3, 2))

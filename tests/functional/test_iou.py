import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import oracles

from net2vec_pl.functional import overlap, set_iou

COUNTS = st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 2**50)), min_size=1, max_size=20)


@given(counts=COUNTS)
def test_matches_oracle(counts: list[tuple[int, int]]) -> None:
    inter = torch.tensor([min(pair) for pair in counts])
    union = torch.tensor([max(pair) for pair in counts])
    expected = torch.from_numpy(oracles.set_iou(inter.numpy(), union.numpy()))
    torch.testing.assert_close(set_iou(inter, union), expected, rtol=0, atol=0, equal_nan=True)


def test_counts_of_two_sets_of_images_are_added_before_dividing() -> None:
    inter, union = torch.tensor([[1], [30]]), torch.tensor([[10], [40]])
    both = set_iou(inter.sum(0), union.sum(0))
    assert both.item() == pytest.approx(31 / 50)
    assert both.item() != pytest.approx(set_iou(inter, union).mean().item())


@given(inter=st.integers(0, 10**6), more=st.integers(0, 10**6), times=st.integers(1, 1000))
def test_equal_fractions_are_equal_numbers(inter: int, more: int, times: int) -> None:
    small, large = torch.tensor([inter, inter + more]), torch.tensor([inter, inter + more]) * times
    one, other = set_iou(small[:1], small[1:]), set_iou(large[:1], large[1:])
    assert torch.equal(one, other) or (one.isnan() & other.isnan()).all()


def test_nothing_to_score_is_not_a_number() -> None:
    score = set_iou(torch.tensor([0, 0]), torch.tensor([0, 3]))
    assert score[0].isnan()
    assert score[1] == 0
    assert set_iou(torch.tensor([1, 0]), torch.tensor([1, 1])).tolist() == [1, 0]


def test_any_shape_and_none_at_all() -> None:
    assert set_iou(torch.zeros(2, 3, 0).long(), torch.zeros(2, 3, 0).long()).shape == (2, 3, 0)
    assert set_iou(torch.tensor(1), torch.tensor(2)).item() == 0.5


def test_result_is_double_for_counts_beyond_floats() -> None:
    inter = torch.tensor([2**24 + 1, 2**40 + 1])
    union = torch.tensor([2**24 + 2, 2**40 + 3])
    found = set_iou(inter, union)
    assert found.dtype == torch.float64
    np.testing.assert_array_equal(found.numpy(), inter.numpy() / union.numpy())


def test_an_intersection_above_its_union_is_refused() -> None:
    with pytest.raises(ValueError, match="exceeds its union"):
        set_iou(torch.tensor([1, 3]), torch.tensor([2, 2]))


def test_overlaps_are_pixels_in_both_maps_and_in_either() -> None:
    predicted = torch.tensor([[[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 1, 1]]]).bool()
    mask = torch.tensor([[[1, 0, 0], [1, 1, 0]], [[1, 1, 1], [0, 0, 0]]]).bool()
    assert overlap(predicted, mask).tolist() == [[1, 4], [0, 6]]

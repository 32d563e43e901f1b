import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import oracles

from net2vec_pl.functional.cells import BilinearCells, cell_patterns, count_overlaps

Size = tuple[int, int]
CONVENTIONS = pytest.mark.parametrize("align_corners", [True, False])
# With corners aligned 13 to 113, 7 to 13 and 6 to 9 have pixels where up is exactly one half;
# without, 4 to 10 and 6 to 9 do.
SHAPES: list[tuple[Size, Size]] = [
    ((13, 13), (113, 113)),
    ((14, 14), (112, 112)),
    ((7, 7), (13, 13)),
    ((4, 4), (10, 10)),
    ((6, 6), (9, 15)),
    ((4, 6), (16, 12)),
    ((5, 3), (17, 31)),
    ((8, 8), (8, 8)),
    ((9, 4), (3, 4)),
    ((1, 1), (6, 5)),
    ((1, 5), (4, 9)),
    ((5, 1), (9, 4)),
    ((4, 4), (1, 1)),
    ((2, 3), (1, 7)),
]


def check(
    seed: int, grid: Size, mask: Size, align_corners: bool, filters: int = 6, masks: int = 3
) -> None:
    """Compare every overlap and area with those of the literal upsampling."""
    rng = np.random.default_rng(seed)
    density = rng.random((filters, 1, 1))
    bits = rng.random((filters, *grid)) < density
    truth = rng.random((masks, *mask)) < 0.4
    whole = np.ones((1, *mask), dtype=bool)
    cells = BilinearCells(grid, mask, align_corners=align_corners)
    counts = cells.count_patterns(torch.from_numpy(np.concatenate([truth, whole]))[None])
    found = count_overlaps(cell_patterns(torch.from_numpy(bits)[None]), counts)[0]
    assert found.dtype == torch.int64
    area = oracles.single_filter_maps(bits, *mask, align_corners).sum((1, 2))
    np.testing.assert_array_equal(found[:, -1].numpy(), area)
    for p, one in enumerate(truth):
        inter, union = oracles.single_filter_counts(bits, one, align_corners)
        np.testing.assert_array_equal(found[:, p].numpy(), inter)
        np.testing.assert_array_equal(area + one.sum() - found[:, p].numpy(), union)


@CONVENTIONS
@pytest.mark.parametrize(("grid", "mask"), SHAPES)
def test_overlaps_are_the_oracles(grid: Size, mask: Size, align_corners: bool) -> None:
    check(0, grid, mask, align_corners)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    mask=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    align_corners=st.booleans(),
)
def test_overlaps_of_any_sizes_are_the_oracles(
    seed: int, grid: Size, mask: Size, align_corners: bool
) -> None:
    check(seed, grid, mask, align_corners, filters=4, masks=2)


@CONVENTIONS
def test_ties_at_one_half_do_occur_and_are_off(align_corners: bool) -> None:
    grid, mask = ((13, 13), (113, 113)) if align_corners else ((4, 4), (10, 10))
    bits = np.zeros((1, *grid), dtype=bool)
    bits[0, :, ::2] = True  # stripes: halfway between two columns, up is one half
    up = oracles.upsample(bits[0], *mask, align_corners)
    ties = np.isclose(up, 0.5, atol=1e-9)
    assert ties.any()
    cells = BilinearCells(grid, mask, align_corners=align_corners)
    counts = cells.count_patterns(torch.from_numpy(ties[None, None]))
    assert count_overlaps(cell_patterns(torch.from_numpy(bits)[None]), counts).item() == 0


@CONVENTIONS
@pytest.mark.parametrize(("grid", "mask"), SHAPES)
def test_filters_that_always_fire_cover_all_and_dead_ones_nothing(
    grid: Size, mask: Size, align_corners: bool
) -> None:
    bits = torch.stack([torch.ones(grid), torch.zeros(grid)]).bool()
    cells = BilinearCells(grid, mask, align_corners=align_corners)
    counts = cells.count_patterns(torch.ones(1, 1, *mask).bool())
    found = count_overlaps(cell_patterns(bits[None]), counts)[0]
    assert found.flatten().tolist() == [mask[0] * mask[1], 0]


@CONVENTIONS
def test_pixels_fall_in_one_cell_each(align_corners: bool) -> None:
    cells = BilinearCells((5, 7), (18, 13), align_corners=align_corners)
    real = cells.pixel[cells.pixel < 18 * 13]
    assert torch.equal(real.sort().values, torch.arange(18 * 13))


def test_patterns_are_the_four_corners_and_the_border_repeats() -> None:
    fired = torch.tensor([[[True, False], [False, True]]])
    assert cell_patterns(fired[None])[0].tolist() == [[1 + 8, 4 * 1 + 8 * 1, 2 + 8, 15]]


def test_no_masks_and_no_firing_are_zero() -> None:
    cells = BilinearCells((3, 3), (7, 7), align_corners=True)
    none = cells.count_patterns(torch.zeros(1, 0, 7, 7).bool())
    patterns = cell_patterns(torch.ones(1, 2, 3, 3).bool())
    assert count_overlaps(patterns, none).shape == (1, 2, 0)


def test_moving_the_tables_keeps_them() -> None:
    cells = BilinearCells((3, 3), (7, 7), align_corners=True)
    table = cells.table.clone()
    assert cells.to(torch.device("cpu")) is cells
    assert torch.equal(cells.table, table)

"""Masks averaged down to a grid by area."""

import numpy as np
import pytest
import torch

from net2vec_pl.functional.shares import SHARE_STEP, area_matrix, cell_shares


@pytest.mark.parametrize(
    ("mask", "grid"), [((12, 12), (3, 3)), ((7, 10), (3, 4)), ((4, 4), (4, 4))]
)
def test_shares_are_overlaps_of_rectangles(mask: tuple[int, int], grid: tuple[int, int]) -> None:
    masks = torch.rand(3, *mask, generator=torch.Generator().manual_seed(0)) < 0.4
    found = cell_shares(masks, grid).numpy()
    fine = 84  # pixels and cells are cut into whole parts of it
    for which, of_mask in enumerate(masks.numpy()):
        large = np.kron(of_mask, np.ones((fine * grid[0], fine * grid[1])))  # pixel by pixel
        blocks = large.reshape(grid[0], -1, grid[1], large.shape[1] // grid[1])
        assert np.abs(found[which] - blocks.mean((1, 3))).max() <= SHARE_STEP / 2 + 1e-12


def test_whole_factors_are_exact() -> None:
    masks = torch.rand(2, 112, 112, generator=torch.Generator().manual_seed(1)) < 0.5
    expected = masks.double().view(2, 14, 8, 14, 8).mean((2, 4))
    assert torch.equal(cell_shares(masks, (14, 14)), expected)


def test_rows_sum_to_one() -> None:
    for sizes in ((112, 7), (112, 13), (5, 5), (3, 7)):
        matrix = area_matrix(*sizes)
        torch.testing.assert_close(matrix.sum(1), torch.ones(sizes[1], dtype=torch.float64))

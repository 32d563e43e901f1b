import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import oracles

from net2vec_pl.functional import bilinear_matrix, upsample

SIZES = st.integers(1, 20)
CONVENTIONS = pytest.mark.parametrize("align_corners", [True, False])
SHAPES = [((13, 13), (113, 113)), ((7, 9), (31, 20)), ((1, 1), (5, 4)), ((4, 3), (1, 2))]


@given(size_in=SIZES, size_out=SIZES, align_corners=st.booleans())
def test_matrix_is_the_oracles(size_in: int, size_out: int, align_corners: bool) -> None:
    weights, scale = oracles.integer_weights(size_in, size_out, align_corners)
    found = bilinear_matrix(size_in, size_out, align_corners=align_corners)
    np.testing.assert_allclose(found.numpy(), weights / scale, atol=1e-6)


@given(size_in=SIZES, size_out=SIZES, align_corners=st.booleans())
def test_rows_are_shares_of_at_most_two_neighbours(
    size_in: int, size_out: int, align_corners: bool
) -> None:
    matrix = bilinear_matrix(size_in, size_out, align_corners=align_corners)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(size_out))
    for row in matrix:
        places = row.nonzero().flatten()
        assert len(places) <= 2
        assert int(places[-1] - places[0]) <= 1


@given(size=SIZES, align_corners=st.booleans())
def test_the_same_size_changes_nothing(size: int, align_corners: bool) -> None:
    assert torch.equal(bilinear_matrix(size, size, align_corners=align_corners), torch.eye(size))


def test_corners_coincide_only_when_aligned() -> None:
    aligned = bilinear_matrix(3, 7, align_corners=True)
    assert aligned[0].tolist() == [1, 0, 0]
    assert aligned[-1].tolist() == [0, 0, 1]
    halves = bilinear_matrix(2, 4, align_corners=False)
    assert halves.tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]


@CONVENTIONS
@pytest.mark.parametrize(("grid", "mask"), SHAPES)
def test_upsample_is_the_definition(
    grid: tuple[int, int], mask: tuple[int, int], align_corners: bool
) -> None:
    maps = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *grid))).float()
    rows = bilinear_matrix(grid[0], mask[0], align_corners=align_corners)
    columns = bilinear_matrix(grid[1], mask[1], align_corners=align_corners)
    found = upsample(maps, rows, columns)
    for one, up in zip(maps.numpy(), found.numpy(), strict=True):
        expected = oracles.upsample_loops(one, *mask, align_corners=align_corners)
        np.testing.assert_allclose(up, expected, atol=1e-5)


@CONVENTIONS
@pytest.mark.parametrize(("grid", "mask"), SHAPES)
def test_upsample_and_its_gradient_are_pytorchs(
    grid: tuple[int, int], mask: tuple[int, int], align_corners: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2, 3, *grid, generator=generator, requires_grad=True)
    upstream = torch.randn(2, 3, *mask, generator=generator)
    rows = bilinear_matrix(grid[0], mask[0], align_corners=align_corners)
    columns = bilinear_matrix(grid[1], mask[1], align_corners=align_corners)
    ours = upsample(maps, rows, columns)
    theirs = torch.nn.functional.interpolate(
        maps, mask, mode="bilinear", align_corners=align_corners
    )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    (our_gradient,) = torch.autograd.grad(ours, maps, upstream)
    (their_gradient,) = torch.autograd.grad(theirs, maps, upstream)
    torch.testing.assert_close(our_gradient, their_gradient, atol=1e-4, rtol=1e-4)

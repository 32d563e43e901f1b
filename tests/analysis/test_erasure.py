"""Erasures against the formulas of their papers, written out, and what they promise."""

import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import Tensor

from net2vec_pl.analysis.erasure import leace, projection, steered


def drawn(seed: int, n: int = 400, k: int = 6) -> tuple[Tensor, Tensor]:
    """Return correlated x (n, k) and the share (n,) of a concept in two of it."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, k, generator=random).double() @ torch.randn(k, k, generator=random).double()
    share = (torch.rand(n, generator=random) < 0.3).double()
    x[:, 0] += 2 * share
    x[:, 3] -= share
    return x + 5, share


def moments(x: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    centred = x - x.mean(0)
    return centred.T @ (share - share.mean()) / len(x), centred.T @ centred / len(x), x.mean(0)


def at_positions(x: Tensor) -> Tensor:
    return x.T[None, :, :, None]  # one image whose positions are the draws


def erased(x: Tensor, change: object) -> Tensor:
    assert callable(change)
    out: Tensor = change(at_positions(x))[0, :, :, 0].T
    return out


@pytest.mark.parametrize("seed", range(3))
def test_leace_is_the_papers_formula_with_roots_of_the_covariance(seed: int) -> None:
    x, share = drawn(seed)
    cross, covariance, mean = moments(x, share)
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ values.sqrt().diag() @ vectors.T
    whitening = vectors @ (1 / values.sqrt()).diag() @ vectors.T
    u = whitening @ cross
    onto = torch.outer(u, u) / (u @ u)  # the projection onto the column space of W Sigma_xz
    wanted = x - (x - mean) @ (root @ onto @ whitening).T
    torch.testing.assert_close(erased(x, leace(*moments(x, share))), wanted, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("singular", [False, True])
def test_leace_is_what_the_concept_erasure_package_does(singular: bool) -> None:
    """As its ``LeaceFitter.eraser`` and ``LeaceEraser.__call__`` have it, version 0.2."""
    x, share = drawn(4)
    if singular:
        x[:, 5] = x[:, 1] - 2 * x[:, 2]
    cross, covariance, mean = moments(x, share)
    values, vectors = torch.linalg.eigh(covariance)
    mask = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    values = values.clamp(min=0.0)
    whitening = vectors * torch.where(mask, values.rsqrt(), 0.0) @ vectors.mH
    unwhitening = vectors * torch.where(mask, values.sqrt(), 0.0) @ vectors.mH
    u, s, _ = torch.linalg.svd(whitening @ cross[:, None], full_matrices=False)
    u = u * (s > 0.01)
    left, right = unwhitening @ u, u.mH @ whitening
    wanted = x - ((x - mean) @ right.mH) @ left.mH
    torch.testing.assert_close(erased(x, leace(cross, covariance, mean)), wanted, atol=1e-6, rtol=0)


def test_after_leace_no_linear_probe_beats_chance() -> None:
    x, share = drawn(7)
    left = erased(x, leace(*moments(x, share)))
    assert LinearRegression().fit(x, share).score(x, share) > 0.2
    assert abs(LinearRegression().fit(left, share).score(left, share)) < 1e-9
    probe = LogisticRegression(C=1e6, max_iter=1000).fit(left, share)
    assert probe.score(left, share) == pytest.approx(1 - float(share.mean()))
    inside, outside = left[share == 1].mean(0), left[share == 0].mean(0)
    torch.testing.assert_close(inside, outside, atol=1e-9, rtol=0)


def test_a_projection_leaves_what_lies_beside_its_direction() -> None:
    x, share = drawn(7)
    _, _, mean = moments(x, share)
    filter_0 = torch.eye(6).double()[0]
    left = erased(x, projection(3 * filter_0, mean))
    torch.testing.assert_close(left[:, 0], mean[0].expand(len(x)))
    torch.testing.assert_close(left[:, 1:], x[:, 1:])
    assert LinearRegression().fit(left, share).score(left, share) > 0.02  # of filter 3


@pytest.mark.parametrize("seed", range(3))
def test_no_other_erasure_of_rank_one_changes_less_than_leace(seed: int) -> None:
    x, share = drawn(seed)
    cross, covariance, mean = moments(x, share)
    least = (erased(x, leace(cross, covariance, mean)) - x).square().sum()
    # Along the covariance itself no probe finds the concept either, and more is changed.
    along = erased(x, projection(cross, mean))
    assert abs(LinearRegression().fit(along, share).score(along, share)) < 1e-9
    assert least < (along - x).square().sum()


def test_a_filter_that_never_varies_and_a_concept_that_is_nowhere_change_nothing() -> None:
    x, share = drawn(2)
    x[:, 4] = 1.0
    left = erased(x, leace(*moments(x, share)))
    assert left.isfinite().all()
    torch.testing.assert_close(left[:, 4], x[:, 4])
    nothing = torch.zeros(6).double()
    assert torch.equal(erased(x, projection(nothing, x.mean(0))), x)
    assert torch.equal(erased(x, leace(nothing, moments(x, share)[1], x.mean(0))), x)


def test_a_step_is_added_inside_its_region_only() -> None:
    activation = torch.randn(2, 3, 4, 4)
    region = torch.zeros(4, 4, dtype=torch.bool)
    region[1, 2] = True
    step = torch.tensor([1.0, 0.0, -2.0]).double()
    moved = steered(activation, step, region)
    for row, column in torch.cartesian_prod(torch.arange(4), torch.arange(4)).tolist():
        wanted = activation[:, :, row, column] + (step.float() if region[row, column] else 0)
        assert torch.equal(moved[:, :, row, column], wanted)


def test_how_far_an_erasure_goes_is_the_length_of_its_change() -> None:
    activation = torch.randn(3, 6, 4, 5).double()
    erasure = leace(*moments(*drawn(1)))
    change = erasure(activation) - activation
    lengths = [float(of_image.flatten().norm()) for of_image in change]
    torch.testing.assert_close(erasure.size(activation), torch.tensor(lengths).double())

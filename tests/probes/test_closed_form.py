"""Closed forms against scikit-learn, literal solvers, and worlds whose best direction is known."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from net2vec_pl.probes.closed_form import Scaled, lda, pattern, ridge, solution
from net2vec_pl.probes.moments import Moments

K, N, C = 6, 400, 3
ONES = torch.ones(K, dtype=torch.float64)


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw positions (N, K), the share of each concept there (C, N), and which images are its own.

    Every ten positions are an image.
    """
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(K, K))
    truth = rng.random((C, N)) < [[0.3], [0.5], [0.1]]
    x = rng.normal(size=(N, K)) @ mixing + truth.T @ rng.normal(size=(C, K)) * 2
    own = np.repeat(rng.random((C, N // 10)) < 0.7, 10, axis=1)
    return x, truth * own * rng.choice([0.5, 1.0], size=(C, N)), own


def moments(x: np.ndarray, share: np.ndarray, own: np.ndarray) -> Moments:
    """Sum by loops, in one fold."""
    found = {
        "count": np.array([float(len(x))]),
        "total": x.sum(0)[None],
        "square": (x.T @ x)[None],
        "inside": share.sum(1)[None],
        "inside_total": (share @ x)[None],
        "own_count": own.sum(1)[None].astype(float),
        "own_total": (own @ x)[None],
        "place": share[:, :, None],
        "own_place": own[:, :, None].astype(float),
        "own_square": np.stack([x[mine].T @ x[mine] for mine in own])[None],
    }
    return Moments.read({name: torch.from_numpy(np.array(v)) for name, v in found.items()})


def unit(rows: Tensor | np.ndarray) -> np.ndarray:
    values = np.asarray(rows, dtype=np.float64)
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))


@pytest.mark.parametrize("shrinkage", [0.0, 0.01, 0.3])
def test_lda_is_scikit_learns(shrinkage: float) -> None:
    """Ours shrinks the covariance of all positions, theirs that within classes.

    The two differ by a multiple of the outer product of the difference of the means, so directions
    agree where both add the same multiple of the identity to the same multiple of the covariance.
    """
    x, share, _ = drawn()
    truth = share > 0
    found = moments(x, truth.astype(float), np.ones_like(truth))
    ours = lda(Scaled(found.sums, ONES), shrinkage)
    total = np.cov(x.T, bias=True)
    for c, mask in enumerate(truth):
        p = mask.mean()
        difference = x[mask].mean(0) - x[~mask].mean(0)
        within = total - p * (1 - p) * np.outer(difference, difference)
        added = shrinkage / (1 - shrinkage) * np.trace(total) / K
        theirs = added / (added + np.trace(within) / K)
        oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=theirs or None)
        direction = oracle.fit(x, mask).coef_[0]
        np.testing.assert_allclose(unit(ours[c]), unit(direction), rtol=0, atol=1e-6)
    own = np.stack([x[m].mean(0) - x[~m].mean(0) for m in truth])
    literal = np.linalg.solve(
        (1 - shrinkage) * total + shrinkage * np.trace(total) / K * np.eye(K), own.T
    ).T
    np.testing.assert_allclose(ours, literal, rtol=1e-6)


def test_scales_divide_filters_before_anything_else() -> None:
    x, share, own = drawn()
    scale = torch.tensor([0.5, 2.0, 1.0, 3.0, 1.0, 0.1], dtype=torch.float64)
    divided = moments(x / scale.numpy(), share, own)
    for kind in ("mean_difference", "lda", "ridge", "pattern"):
        one = solution(kind, moments(x, share, own), scale, 0.1, share=0.5)
        other = solution(kind, divided, ONES, 0.1, share=0.5)
        torch.testing.assert_close(one.weight, other.weight)
        torch.testing.assert_close(one.bias, other.bias)


def test_means_are_weighted_by_shares_over_own_images() -> None:
    x, share, own = drawn()
    inside, outside = moments(x, share, own).sums.means
    for c in range(C):
        rest = own[c] - share[c]
        np.testing.assert_allclose(inside[c], share[c] @ x / share[c].sum())
        np.testing.assert_allclose(outside[c], rest @ x / rest.sum())


def test_own_images_enter_the_covariance_by_their_share() -> None:
    x, share, own = drawn()
    found = moments(x, share, own)
    ours = lda(Scaled(found.sums, ONES), 0.0, found.own_covariance, 0.25)
    inside, outside = found.sums.means
    for c in range(C):
        mixed = 0.75 * np.cov(x.T, bias=True) + 0.25 * np.cov(x[own[c]].T, bias=True)
        expected = np.linalg.solve(mixed, (inside - outside)[c].numpy())
        np.testing.assert_allclose(ours[c], expected, rtol=1e-8)


def test_ridge_is_the_least_squares_fit_over_own_images() -> None:
    x, share, own = drawn()
    found = moments(x, share, own)
    ours = ridge(Scaled(found.sums, ONES), 0.0, found.own_covariance)
    for c in range(C):
        with_one = np.column_stack([x[own[c]], np.ones(own[c].sum())])
        fit = np.linalg.lstsq(with_one, share[c][own[c]], rcond=None)[0][:K]
        np.testing.assert_allclose(unit(ours[c]), unit(fit), atol=1e-8)


def test_a_pattern_is_the_covariance_of_filters_with_the_score() -> None:
    x, share, own = drawn()
    scaled = Scaled(moments(x, share, own).sums, ONES)
    weight = lda(scaled, 0.1)
    found = pattern(scaled, weight)
    scores = (x - x.mean(0)) @ weight.numpy().T
    expected = (x - x.mean(0)).T @ scores / N / scores.std(0)
    np.testing.assert_allclose(found, expected.T, rtol=1e-8)


@pytest.mark.parametrize("kind", ["mean_difference", "lda", "ridge", "pattern"])
def test_a_few_filters_are_solved_for_as_if_there_were_no_others(kind: str) -> None:
    x, share, own = drawn()
    kept = torch.zeros(C, K, dtype=torch.bool)
    some = [[0, 3], [1, 2, 5], [4]]
    for c, filters in enumerate(some):
        kept[c, filters] = True
    found = solution(kind, moments(x, share, own), ONES, 0.1, share=0.5, kept=kept)
    for c, filters in enumerate(some):
        alone = solution(
            kind, moments(x[:, filters], share, own), ONES[: len(filters)], 0.1, share=0.5
        )
        torch.testing.assert_close(found.weight[c, filters], alone.weight[c])
        torch.testing.assert_close(found.bias[c], alone.bias[c])
    assert not found.weight[~kept].any()


def test_the_bias_lies_half_way_between_the_mean_scores() -> None:
    x, share, own = drawn()
    found = solution("lda", moments(x, share, own), ONES, 0.1)
    inside, outside = moments(x, share, own).sums.means
    scores = [(mean * found.weight).sum(1) + found.bias for mean in (inside, outside)]
    torch.testing.assert_close(scores[0], -scores[1])


def test_a_concept_without_an_outside_has_no_embedding_and_dead_filters_weigh_nothing() -> None:
    x, share, own = drawn()
    x[:, 2] = 7.0
    share[1] = own[1]
    found = moments(x, share, own)
    assert found.sums.spread[2] == 0
    for kind in ("mean_difference", "lda", "ridge", "pattern"):
        one = solution(kind, found, found.sums.spread, 0.01, share=0.5)
        assert one.weight.isfinite().all(), kind
        assert not one.weight[1].any(), kind
        assert not one.weight[:, 2].any(), kind
        assert one.weight[0].any(), kind


def test_two_gaussian_classes_give_the_direction_that_is_optimal() -> None:
    """With one covariance, no direction separates better than its inverse times the difference."""
    rng = np.random.default_rng(3)
    n, mixing = 200_000, rng.normal(size=(K, K)) + 2 * np.eye(K)
    apart = rng.normal(size=K)
    truth = np.asarray(rng.random(n) < 0.4)
    x = rng.normal(size=(n, K)) @ mixing.T + truth[:, None] * apart
    found = moments(x, truth[None].astype(float), np.ones((1, n), dtype=bool))
    best = np.linalg.solve(mixing @ mixing.T, apart)
    ours = lda(Scaled(found.sums, ONES), 0.0)[0]
    assert unit(ours) @ unit(best) > 0.9995
    assert unit(found.sums.means[0][0] - found.sums.means[1][0]) @ unit(best) < 0.97


def test_a_concept_that_is_the_or_of_three_filters_is_found_in_them() -> None:
    rng = np.random.default_rng(4)
    n = 100_000
    fires = np.array(rng.random((n, 12)) < 0.1)
    truth = fires[:, [2, 5, 7]].max(1)
    found = moments(fires.astype(float), truth[None].astype(float), np.ones((1, n), dtype=bool))
    weight = lda(Scaled(found.sums, torch.ones(12, dtype=torch.float64)), 0.0)[0].abs()
    assert set(weight.topk(3).indices.tolist()) == {2, 5, 7}
    assert weight.topk(4).values[3] < 0.05 * weight.max()


@pytest.mark.parametrize("kind", ["mean_difference", "lda", "ridge", "pattern"])
def test_scores_have_a_spread_of_one_however_far_a_rare_concept_stands_out(kind: str) -> None:
    """Thresholds are chosen among bins of logits, which end at 64."""
    rng = np.random.default_rng(5)
    truth = rng.random((1, 20_000)) < 0.001
    x = rng.normal(size=(20_000, K)) + 100 * truth.T
    found = moments(x, truth.astype(float), np.ones_like(truth))
    one = solution(kind, found, found.sums.spread, 1e-6, share=0.5)
    logits = torch.from_numpy(x) / found.sums.spread @ one.weight[0] + one.bias[0]
    assert logits.std(correction=0) == pytest.approx(1)
    assert logits[truth[0]].min() > 0 > logits[~truth[0]].max()
    assert logits.abs().max() < 64

"""Choices of filters, learning curves and single directions against loops and known answers."""

import numpy as np
import pytest
import torch
from scipy import stats
from simulated.needed import CASES, agreement_of_training_sets
from torch import Tensor
from torch.nn.functional import normalize

from net2vec_pl.analysis.closed_form import (
    direction_agreement,
    fold_choices,
    forward_order,
    largest_order,
    learning_curve,
    nearest_others,
    neighbours,
    nested_weights,
    standardised_difference,
)
from net2vec_pl.probes.closed_form import Scaled, lda, shrunk, solution
from net2vec_pl.probes.moments import Moments
from net2vec_pl.units.rotation import random_rotation

K, N, C = 7, 300, 3
Array = np.ndarray


def drawn(seed: int = 0, *, everywhere: bool = False) -> tuple[Array, Array, Array]:
    """Draw positions (N, K), whether each concept is there (C, N), and which images are its own."""
    rng = np.random.default_rng(seed)
    truth = rng.random((C, N)) < [[0.3], [0.5], [0.1]]
    x = rng.normal(size=(N, K)) @ rng.normal(size=(K, K)) + truth.T @ rng.normal(size=(C, K))
    own = np.repeat(rng.random((C, N // 10)) < 0.7, 10, axis=1) | everywhere
    return x, truth & own, own


def moments(x: Array, truth: Array, own: Array, folds: int = 1) -> Moments:
    """Sum by loops, in folds of equally many positions."""
    parts = [
        (x[some], truth[:, some].astype(float), own[:, some])
        for some in np.array_split(np.arange(len(x)), folds)
    ]
    found = {
        "count": [float(len(y)) for y, _, _ in parts],
        "total": [y.sum(0) for y, _, _ in parts],
        "square": [y.T @ y for y, _, _ in parts],
        "inside": [f.sum(1) for _, f, _ in parts],
        "inside_total": [f @ y for y, f, _ in parts],
        "own_count": [mine.sum(1).astype(float) for _, _, mine in parts],
        "own_total": [mine @ y for y, _, mine in parts],
        "place": truth[:, :, None].astype(float),
        "own_place": own[:, :, None].astype(float),
        "own_square": np.zeros((2, 0, x.shape[1], x.shape[1])),
    }
    return Moments.read({name: torch.from_numpy(np.array(v)) for name, v in found.items()})


def covariance_and_difference(
    x: Array, truth: Array, own: Array, shrinkage: float
) -> tuple[Tensor, Tensor]:
    ones = torch.ones(x.shape[1], dtype=torch.float64)
    scaled = Scaled(moments(x, truth, own).sums, ones)
    return shrunk(scaled.covariance, shrinkage), scaled.difference


# -------------------- choices of filters


@pytest.mark.parametrize("seed", range(5))
def test_forward_selection_tries_every_filter_at_every_step(seed: int) -> None:
    covariance, difference = covariance_and_difference(*drawn(seed), 0.01)
    order = forward_order(covariance, difference)
    for c in range(C):
        chosen: list[int] = []
        for _ in range(K):
            distance = {}
            for k in set(range(K)) - set(chosen):
                some = [*chosen, k]
                d = difference[c, some].numpy()
                distance[k] = d @ np.linalg.solve(covariance[some][:, some].numpy(), d)
            chosen.append(max(distance, key=lambda k: distance[k]))
        assert order[c].tolist() == chosen


def test_forward_selection_is_that_of_least_squares() -> None:
    """Where every image has the concept, the filter added is the one that fits it best."""
    x, truth, own = drawn(everywhere=True)
    order = forward_order(*covariance_and_difference(x, truth, own, 0.0))
    for c in range(C):
        chosen: list[int] = []
        for _ in range(K):
            error = {}
            for k in set(range(K)) - set(chosen):
                columns = np.column_stack([x[:, [*chosen, k]], np.ones(N)])
                fit = np.linalg.lstsq(columns, truth[c].astype(float), rcond=None)[0]
                error[k] = ((truth[c] - columns @ fit) ** 2).sum()
            chosen.append(min(error, key=lambda k: error[k]))
        assert order[c].tolist() == chosen


def test_the_or_of_three_filters_is_chosen_first() -> None:
    rng = np.random.default_rng(4)
    fires = np.array(rng.random((20_000, 12)) < 0.1)
    truth = fires[:, [2, 5, 7]].max(1)[None]
    of_all = covariance_and_difference(fires.astype(float), truth, np.ones_like(truth), 0.01)
    assert set(forward_order(*of_all)[0, :3].tolist()) == {2, 5, 7}


def test_a_copy_of_a_chosen_filter_comes_late_but_is_a_large_weight() -> None:
    """Forward selection sees that a copy adds nothing; the size of weights does not."""
    rng = np.random.default_rng(0)
    truth = rng.random((1, 5000)) < 0.5
    strong = truth[0] + rng.normal(size=5000) * 0.5
    weak = truth[0] + rng.normal(size=5000) * 2
    copy = strong + rng.normal(size=5000) * 0.01
    x = np.column_stack([strong, weak, copy])
    covariance, difference = covariance_and_difference(x, truth, np.ones_like(truth), 2e-3)
    assert forward_order(covariance, difference)[0, 1] == 1
    weight = torch.linalg.solve(covariance, difference.T).T
    assert largest_order(weight, covariance.diagonal().sqrt())[0, 2] == 1


def test_dead_filters_are_chosen_last_and_everything_once() -> None:
    x, truth, own = drawn()
    x[:, 3] = x[:, 0]
    for k in (2, 5):
        x[:, k] = 0.0
    covariance, difference = covariance_and_difference(x, truth, own, 0.0)
    order = forward_order(covariance, difference)
    assert (order.sort(1).values == torch.arange(K)).all()
    assert all({2, 5} <= set(row[-3:]) for row in order.tolist())  # the other one is a copy
    assert forward_order(covariance, torch.zeros_like(difference)).tolist() == [[*range(K)]] * C


@pytest.mark.parametrize("shrinkage", [1e-6, 0.1])
def test_one_factor_serves_every_number_of_filters(shrinkage: float) -> None:
    x, truth, own = drawn()
    x = x / x.std(0)  # of variance 1, shrinkage over some filters is that over all
    found, ones = moments(x, truth, own), torch.ones(K, dtype=torch.float64)
    covariance, difference = covariance_and_difference(x, truth, own, shrinkage)
    order = forward_order(covariance, difference)
    sizes = [1, 3, 6, K]
    weight = nested_weights(covariance, difference, order, sizes)
    for row, size in zip(weight, sizes, strict=True):
        kept = torch.zeros(C, K, dtype=torch.bool).scatter_(1, order[:, :size], value=True)
        literal = solution("lda", found, ones, shrinkage, kept=kept)
        torch.testing.assert_close(normalize(row), normalize(literal.weight))
        assert ((row != 0) == kept).all()


# -------------------- images


def test_folds_are_chosen_without_replacement_and_all_of_them_once() -> None:
    choices = fold_choices(range(20), 5, np.random.default_rng(0))
    assert [len(choice) for choice in choices] == [1] * 5 + [2] * 5 + [4] * 5 + [8] * 5 + [
        16
    ] * 5 + [20]
    assert all(len(set(choice)) == len(choice) for choice in choices)
    assert fold_choices([0], 5, np.random.default_rng(0)) == [(0,)]
    assert [len(c) for c in fold_choices(range(8), 1, np.random.default_rng(0))] == [1, 2, 4, 8]


def test_a_learning_curve_averages_over_choices() -> None:
    scores = np.array([[0.1, 0.4], [0.3, 0.0], [0.5, np.nan]])
    curve = learning_curve(scores, [(0,), (1,), (0, 1)])
    np.testing.assert_allclose(curve.mean, [[0.2, 0.2], [0.5, np.nan]])
    np.testing.assert_allclose(curve.spread[0], [0.2 / np.sqrt(2), 0.4 / np.sqrt(2)])
    np.testing.assert_allclose(curve.of_mean[0], np.std([0.25, 0.15], ddof=1))
    assert np.isnan(curve.of_mean[1])
    assert np.isnan(curve.spread[1]).all()
    assert curve.folds.tolist() == [1, 2]
    assert curve.choices.tolist() == [2, 1]


def test_more_folds_of_two_gaussian_classes_come_closer_to_the_optimum() -> None:
    rng = np.random.default_rng(3)
    n, size = 4000, 40
    mixing = rng.normal(size=(size, size)) / 6 + np.eye(size)
    apart = rng.normal(size=size) / 3
    truth = rng.random((1, n)) < 0.5
    x = rng.normal(size=(n, size)) @ mixing.T + truth.T * apart
    found = moments(x, truth, np.ones_like(truth), folds=20)
    inverse = np.linalg.inv(mixing @ mixing.T)
    best = np.sqrt(apart @ inverse @ apart)  # distance of the classes along the best direction
    ones = torch.ones(size, dtype=torch.float64)
    choices = fold_choices(range(20), 5, rng)

    def distance(folds: tuple[int, ...]) -> float:
        w = lda(Scaled(found.of(folds), ones), 1e-3)[0].numpy()
        return float(w @ apart / np.sqrt(w @ mixing @ mixing.T @ w) / best)

    curve = learning_curve(np.array([[distance(folds)] for folds in choices]), choices)
    assert (np.diff(curve.mean[:, 0]) > 0).all()
    assert curve.mean[0] < 0.92
    assert 0.98 < curve.mean[-1, 0] < 1
    assert curve.spread[0] > curve.spread[-2]


# -------------------- directions


def test_agreement_is_one_less_the_jackknife_variance_of_unit_vectors() -> None:
    rng = np.random.default_rng(0)
    without = rng.normal(size=(4, 3, 5)) + 4 * rng.normal(size=(1, 3, 5))
    without[2, 1] = 0
    found = direction_agreement(without)
    for c in (0, 2):
        unit = [w / np.linalg.norm(w) for w in without[:, c]]
        middle = sum(unit) / 4
        variance = 3 / 4 * sum(float(((u - middle) ** 2).sum()) for u in unit)
        assert found[c] == pytest.approx(max(1 - variance, 0))
    assert np.isnan(found[1])
    assert direction_agreement(np.ones((4, 1, 2)))[0] == pytest.approx(1)
    assert direction_agreement(rng.normal(size=(40, 1, 5)))[0] == 0  # nothing in common


def test_the_nearest_concepts_are_others_with_a_direction() -> None:
    weight = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 0.0], [-1.0, 0.05]])
    assert nearest_others(weight).tolist() == [[1, 0, -1, 1], [3, 3, -1, 0]]
    assert nearest_others(np.ones((1, 2))).tolist() == [[-1], [-1]]
    assert nearest_others(np.ones((2, 2))).tolist() == [[1, 0], [-1, -1]]


def test_neighbours_have_the_jackknife_interval_of_their_cosines() -> None:
    rng = np.random.default_rng(1)
    full = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.3, 1.0]])
    without = full + 0.02 * rng.normal(size=(6, 3, 3))
    images = np.ones((6, 3))
    images[3:, 1] = 0  # the second concept is in three folds only
    found = neighbours(full, without, images)
    assert found.nearest.tolist() == [1, 0, 0] or found.nearest.tolist() == [1, 0, 1]
    assert found.following[0] == 2

    def cosine(w: Array, a: int, b: int) -> float:
        return float(w[a] @ w[b] / np.linalg.norm(w[a]) / np.linalg.norm(w[b]))

    def lead(w: Array) -> float:
        return cosine(w, 0, 1) - cosine(w, 0, 2)

    def nearest(w: Array) -> float:
        return cosine(w, 0, 1)

    for interval, of, most in ((found.cosine, nearest, 1), (found.lead, lead, 2)):
        error = (5 / 6 * sum((of(w) - of(full)) ** 2 for w in without)) ** 0.5
        assert interval.value[0] == pytest.approx(of(full))
        reach = stats.t.ppf(0.975, (3 * 6) ** 0.5 - 1) * error  # 3 of 6 folds have both
        assert of(full) - interval.low[0] == pytest.approx(reach, rel=1e-4)
        assert interval.high[0] == pytest.approx(min(of(full) + reach, most), rel=1e-4)
    few = neighbours(full, without[:2], images[:2])
    assert np.isnan(few.cosine.low).all()


@pytest.mark.parametrize("case", [case for case in CASES if "20 folds" in case])
def test_coverage_and_level_of_directions(case: str) -> None:
    share = CASES[case](60)
    assert share >= 0.85 if case.startswith("coverage") else share <= 0.13


def test_agreement_is_near_that_of_independent_training_sets() -> None:
    """Resamples with replacement would give .85 here."""
    truth, found = agreement_of_training_sets(40)
    assert 0.78 < truth < 0.83
    assert truth - 0.06 < found < truth + 0.01


def test_a_rotation_is_orthogonal_and_has_no_preferred_direction() -> None:
    rng = np.random.default_rng(0)
    one = random_rotation(6, rng)
    torch.testing.assert_close(one @ one.T, torch.eye(6, dtype=torch.float64))
    many = torch.stack([random_rotation(3, rng) for _ in range(4000)])
    assert many.mean(0).abs().max() < 0.05
    assert (many**2).mean(0).sub(1 / 3).abs().max() < 0.02


def test_standardised_differences_are_those_of_the_scores() -> None:
    x, truth, own = drawn()
    covariance, difference = covariance_and_difference(x, truth, own, 0.0)
    directions = np.random.default_rng(1).normal(size=(5, K))
    found = standardised_difference(covariance, difference, torch.from_numpy(directions))
    for c in range(C):
        for row, w in enumerate(directions):
            score = x @ w
            inside, outside = score[truth[c]].mean(), score[own[c] & ~truth[c]].mean()
            assert found[c, row] == pytest.approx((inside - outside) / score.std())

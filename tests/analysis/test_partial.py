"""Partial probes against least squares on drawn positions, planted concepts, and intervals."""

import numpy as np
import pytest
import torch
from simulated.partial import CASES
from support.counted import random_counts

from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.partial import (
    correlations,
    most_costly,
    partial_directions,
    share_of_gain,
)
from net2vec_pl.probes.closed_form import solve

K, C, N = 8, 4, 400
Array = np.ndarray


def drawn(seed: int) -> tuple[Array, Array]:
    """Draw positions (N, K) of mean 0 and differences of means (C, K)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, K)) @ rng.normal(size=(K, K))
    truth = rng.random((C, N)) < 0.3
    x += truth.T @ rng.normal(size=(C, K))
    x -= x.mean(0)
    return x, np.array([x[mask].mean(0) - x[~mask].mean(0) for mask in truth])


def solved(x: Array, difference: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Discriminants of every concept, and the covariances of their scores."""
    d, covariance = torch.from_numpy(difference), torch.from_numpy(x.T @ x / len(x))
    weight = solve(covariance, d)
    return weight, weight @ d.T


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_is_the_discriminant_of_the_residuals(seed: int) -> None:
    """Position by position: fit x by the others' scores, and solve on what the fit leaves."""
    x, difference = drawn(seed)
    weight, together = solved(x, difference)
    out = torch.ones(C, C, dtype=torch.bool).fill_diagonal_(False)
    out[0, 2] = False  # any others, not only all
    partial, left = partial_directions(weight, together, out)
    for c in range(C):
        others = out[c].numpy()
        scores = x @ weight[others].numpy().T
        fit, *_ = np.linalg.lstsq(scores, x, rcond=None)
        rest = x - scores @ fit
        d = difference[c] - difference[c] @ weight[others].numpy().T @ fit
        expected = np.linalg.pinv(rest.T @ rest / N, rcond=1e-10) @ d
        np.testing.assert_allclose(x @ partial[c].numpy(), rest @ expected, atol=1e-8)
        full = difference[c] @ weight[c].numpy()
        np.testing.assert_allclose(left[c], d @ expected / full, atol=1e-8)


def test_one_other_takes_the_squared_correlation_of_the_two_scores() -> None:
    x, difference = drawn(9)
    weight, together = solved(x, difference)
    scores = x @ weight.numpy().T
    expected = np.corrcoef(scores.T) - np.eye(C)
    found = correlations(together)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    top = most_costly(found, 1)
    assert top.sum(1).tolist() == [1] * C
    _, left = partial_directions(weight, together, top)
    np.testing.assert_allclose(left, 1 - (expected**2).max(1), atol=1e-8)
    assert top.long().argmax(1).tolist() == np.abs(expected).argmax(1).tolist()


def test_a_concept_that_is_another_leaves_nothing_and_one_of_its_own_stays() -> None:
    """A is there in half of B and nowhere else; C lies along a direction of its own."""
    rng = np.random.default_rng(0)
    b, c = rng.random((2, 40_000)) < 0.3
    a = b & (rng.random(len(b)) < 0.5)
    x = rng.normal(size=(len(b), 6))
    x[:, 0] += 3 * b
    x[:, 1] += 3 * c
    x -= x.mean(0)
    difference = np.array([x[mask].mean(0) - x[~mask].mean(0) for mask in (a, b, c)])
    weight, together = solved(x, difference)
    out = ~torch.eye(3, dtype=torch.bool)
    _, left = partial_directions(weight, together, out)
    assert left[0] < 0.01
    assert left[2] > 0.99
    assert most_costly(correlations(together), 1)[0].tolist() == [False, True, False]


def test_synonyms_leave_nothing_of_one_another_and_do_not_blow_up() -> None:
    x, difference = drawn(3)
    weight, together = solved(x, np.vstack([difference, difference[:1], 0 * difference[:1]]))
    out = ~torch.eye(C + 2, dtype=torch.bool)
    partial, left = partial_directions(weight, together, out)
    assert left[0] == left[C] == 0
    assert not partial[[0, C]].any()
    assert left[C + 1].isnan()  # no direction at all
    assert (left[1:C] > 0).all()
    plain, _ = partial_directions(weight[:C], together[:C, :C], out[:C, :C])
    np.testing.assert_allclose(partial[1:C], plain[1:], atol=1e-8)


def test_a_concept_alone_keeps_all() -> None:
    x, difference = drawn(0)
    weight, together = solved(x, difference[:1])
    none = most_costly(correlations(together), 3)
    assert not none.any()
    partial, left = partial_directions(weight, together, none)
    assert torch.equal(partial, weight)
    assert left.tolist() == [1.0]


def test_the_share_of_the_gain_and_its_interval_are_those_of_a_loop() -> None:
    partial = random_counts(30, 3, present=0.9)
    level = random_counts(30, 3, present=0.9)
    # Pixels of three methods on the same pairs: full, partial, and a level below both.
    single = np.stack([level.single[0] * 0, partial.multi[1]])
    level = type(partial)(partial.image, partial.concept, partial.multi, single, 3)
    found = share_of_gain(partial, level)

    def share(keep: Array, c: int) -> float:
        mine = keep & (partial.concept == c)
        f, p, low = (
            m[0, mine].sum() / m[1, mine].sum()
            for m in (partial.multi, partial.single, level.single)
        )
        return float((p - low) / (f - low))

    for c in range(3):
        images = np.unique(partial.image[partial.concept == c])
        whole = share(np.ones(len(partial.image), dtype=bool), c)
        without = np.array([share(partial.image != image, c) for image in images])
        n = len(images)
        np.testing.assert_allclose(found.value[c], whole, rtol=1e-12)
        error = np.sqrt((n - 1) / n * ((without - whole) ** 2).sum())
        reach = (found.high[c] - found.low[c]) / 2
        np.testing.assert_allclose((found.high[c] + found.low[c]) / 2, whole, rtol=1e-9)
        assert 1.96 < reach / error < 2.4  # Student's t of the effective number of images


def test_no_share_without_a_gain_and_no_interval_without_a_sure_one() -> None:
    counts = random_counts(30, 1, present=0.9)
    same = type(counts)(counts.image, counts.concept, counts.multi, counts.multi, 1)
    found = share_of_gain(counts, same)
    assert np.isnan([found.value[0], found.low[0], found.high[0]]).all()
    union = np.full(20, 100)
    full = np.stack([np.where(np.arange(20) % 2, 90, 10), union])  # a gain of 1 % and no more sure
    level = np.stack([np.full(20, 49), union])
    pairs = np.arange(20), np.zeros(20, dtype=np.int64)
    found = share_of_gain(PairCounts(*pairs, full, full, 1), PairCounts(*pairs, full, level, 1))
    assert found.value[0] == 1
    assert np.isnan([found.low[0], found.high[0]]).all()


@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_the_truth(name: str) -> None:
    assert 0.9 <= CASES[name](150) <= 0.99

"""Filters in common: numbers against loops, and what is found where nothing is, or something."""

import itertools
from collections import Counter
from math import comb

import numpy as np
import pytest
from jaxtyping import Bool
from scipy import stats
from simulated.sharing import choices, mean_coverage, popular_level, popularity
from support.jackknifed import jackknifed

from net2vec_pl.analysis.overlap import FDR, overlap, random_choices

NAN = np.nan


def chosen_at_random(num: int, k: int, f: int, seed: int) -> Bool[np.ndarray, "C K"]:
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(k) < f for _ in range(num)])


def key(sets: np.typing.NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sorted(row)) for row in sets.tolist())


def test_random_choices_keep_both_margins() -> None:
    rng = np.random.default_rng(0)
    sets = np.nonzero(choices(15, popularity(), rng))[1].reshape(15, 8)
    kept = np.bincount(sets.ravel(), minlength=64)
    found = list(random_choices(sets, 50, rng))
    assert len(found) == 50
    for state in found:
        assert all(len(set(row)) == 8 for row in state.tolist())
        assert (np.bincount(state.ravel(), minlength=64) == kept).all()
    assert len(set(map(key, found))) == 50


def test_all_choices_with_these_margins_are_equally_likely() -> None:
    sets, k = np.array([[0, 1], [0, 2], [0, 3], [1, 2]]), 4
    margin = np.bincount(sets.ravel(), minlength=k)
    rows = list(itertools.combinations(range(k), 2))
    possible = [
        c
        for c in itertools.product(rows, repeat=4)
        if (np.bincount(np.array(c).ravel(), minlength=k) == margin).all()
    ]
    found = Counter(map(key, random_choices(sets, 6000, np.random.default_rng(1))))
    assert set(found) == set(possible)
    assert stats.chisquare([found[c] for c in possible]).pvalue > 0.01


def test_overlaps_match_loops() -> None:
    chosen = chosen_at_random(8, 20, 5, seed=1)
    chosen[3] = False
    found = overlap(chosen, permutations=30, seed=4)
    assert found.concept.tolist() == [0, 1, 2, 4, 5, 6, 7]
    pairs = list(itertools.combinations(range(7), 2))
    shared = [int((chosen[found.concept[i]] & chosen[found.concept[j]]).sum()) for i, j in pairs]
    assert [found.shared[i, j] for i, j in pairs] == shared
    assert [found.shared[j, i] for i, j in pairs] == shared
    assert float(found.mean[0]) == pytest.approx(np.mean(shared))
    assert np.isnan(found.mean[1])  # seven concepts are too few
    assert found.uniform == pytest.approx(25 / 20)
    assert found.variance == pytest.approx(np.var(shared))
    np.testing.assert_allclose(found.pairs, np.bincount(shared, minlength=6) / len(pairs))
    # The same random choices, pair by pair.
    sets = np.array([np.flatnonzero(row) for row in chosen if row.any()])
    rng, pooled, variances = np.random.default_rng(4), [], []
    for state in random_choices(sets, 30, rng):
        mine = [len(set(state[i]) & set(state[j])) for i, j in pairs]
        assert sum(mine) == sum(shared)  # popularity fixes the mean
        pooled += mine
        variances.append(np.var(mine))
    assert found.random_variance == pytest.approx(np.mean(variances))
    reached = sum(v >= np.var(shared) - 1e-9 for v in variances)
    assert found.p_variance == pytest.approx((1 + reached) / 31)
    np.testing.assert_allclose(found.chance, np.bincount(pooled, minlength=6) / len(pooled))
    p = [(1 + sum(n >= s for n in pooled)) / (1 + len(pooled)) for s in shared]
    assert [found.p[i, j] for i, j in pairs] == pytest.approx(p)
    order = np.argsort(p)
    corrected = [
        min(p[order[r]] * len(p) / (r + 1) for r in range(np.flatnonzero(order == t)[0], len(p)))
        for t in range(len(p))
    ]
    assert [found.p_fdr[i, j] for i, j in pairs] == pytest.approx(corrected)
    assert [found.p_fdr[j, i] for i, j in pairs] == pytest.approx(corrected)


def test_the_interval_of_the_mean_leaves_out_concept_after_concept() -> None:
    chosen = chosen_at_random(12, 20, 5, seed=2)

    def mean(rows: Bool[np.ndarray, "C K"]) -> float:
        return float(np.mean([(a & b).sum() for a, b in itertools.combinations(rows, 2)]))

    found = overlap(chosen, permutations=1).mean
    without = [mean(np.delete(chosen, c, axis=0)) for c in range(12)]
    expected = [mean(chosen), *jackknifed(mean(chosen), without)]
    assert found == pytest.approx(np.array(expected))


def test_where_filters_are_as_popular_random_pairs_are_near_hypergeometric() -> None:
    found = overlap(chosen_at_random(200, 32, 6, seed=0), permutations=50)
    assert float(found.mean[0]) == pytest.approx(36 / 32, rel=0.03)
    law = stats.hypergeom(32, 6, 6).pmf(np.arange(7))
    assert found.chance == pytest.approx(law, abs=0.01)


def test_popular_filters_alone_let_no_pair_stand_out() -> None:
    assert popular_level("variance", 30) <= 0.17
    assert popular_level("pairs", 20) <= 0.1
    found = overlap(choices(30, popularity(), np.random.default_rng(3)), 99)
    assert found.mean[1] > 2 * found.uniform  # though they share far more than filters at random


def test_the_interval_of_the_mean_covers() -> None:
    assert 0.9 <= mean_coverage(1, 30, 400) <= 0.99
    assert 0.9 <= mean_coverage(4, 100, 300) <= 0.99


def test_planted_pairs_are_found() -> None:
    rng = np.random.default_rng(5)
    chosen = choices(30, popularity(), rng)
    planted = [(0, 1), (2, 3), (4, 5)]
    for i, j in planted:  # filters that few have
        own = 40 + 8 * (i // 2)
        chosen[[i, j]] = False
        chosen[[i, j], own : own + 7] = True
        chosen[i, 0] = chosen[j, 1] = True
    found = overlap(chosen, 500)
    above = np.triu_indices(30, 1)
    pairs = {(int(i), int(j)) for i, j in zip(*above, strict=True) if found.p_fdr[i, j] <= FDR}
    assert pairs == set(planted)
    assert found.p_variance == pytest.approx(1 / 501)
    assert found.variance > found.random_variance


def test_identical_choices_share_everything() -> None:
    found = overlap(np.tile(np.arange(16) < 4, (12, 1)), permutations=99)
    assert (found.shared == 4).all()
    assert found.mean.tolist() == [4, 4, 4]
    assert (found.variance, found.random_variance, found.p_variance) == (0, 0, 1)
    assert (found.p == 1).all()  # popularity leaves no other choice
    assert found.pairs.tolist() == found.chance.tolist() == [0, 0, 0, 0, 1]


def test_all_filters_one_concept_or_none() -> None:
    everything = overlap(np.ones((3, 4), dtype=bool), permutations=9)
    assert (everything.p_variance, float(everything.mean[0])) == (1, 4)
    one = overlap(chosen_at_random(1, 8, 2, seed=0), permutations=9)
    assert np.isnan([one.mean[0], one.p_variance, *one.pairs]).all()
    none = overlap(np.zeros((2, 8), dtype=bool), permutations=9)
    assert len(none.concept) == 0
    assert np.isnan(none.mean[0])
    two = overlap(chosen_at_random(2, 8, 3, seed=0), permutations=9)
    assert np.isfinite(two.p_fdr[0, 1])
    with pytest.raises(ValueError, match="from 1 to 2 filters"):
        overlap(np.array([[True, False], [True, True]]))


def test_chance_of_a_pair_is_a_share_of_all_pairs() -> None:
    found = overlap(chosen_at_random(6, 7, 3, seed=6), permutations=20)
    assert found.chance.sum() == pytest.approx(1)
    assert found.p.max() == 1
    assert found.p[np.triu_indices(6, 1)].min() >= 1 / (1 + 20 * comb(6, 2))

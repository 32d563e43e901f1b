import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.counted import random_counts, wilson

from net2vec_pl.analysis.intervals import bootstrap_set_iou
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import holm, paired_test


def exhaustive_p(counts: PairCounts, concept: int) -> float:
    """Swap the methods on every subset of the images and count how often T is as large."""
    mine = np.flatnonzero(counts.concept == concept)
    differences = []
    for swaps in itertools.product([False, True], repeat=len(mine)):
        sums = np.zeros((2, 2))
        for p, swap in zip(mine, swaps, strict=True):
            pair = [counts.multi[:, p], counts.single[:, p]]
            sums += pair[::-1] if swap else pair
        differences.append(sums[0, 0] / sums[0, 1] - sums[1, 0] / sums[1, 1])
    return float(np.mean(np.abs(differences) >= abs(differences[0]) - 1e-9))


def test_p_approaches_the_exhaustive_one() -> None:
    counts = random_counts(9, 3, better=0.1, present=0.9, seed=3)
    found = paired_test(counts, permutations=20_000)
    expected = [exhaustive_p(counts, c) for c in range(3)]
    assert min(expected) < 0.3  # else the test would be easy to pass
    np.testing.assert_allclose(found.p, expected, atol=0.015)


def test_p_of_equal_methods_is_near_uniform() -> None:
    # Concepts on images of their own, so that their p-values are independent.
    rng = np.random.default_rng(1)
    concept = np.repeat(np.arange(300), 12)
    union = rng.integers(50, 100, size=(2, len(concept)))
    inter = (union * rng.random(union.shape)).astype(np.int64)
    image = np.arange(len(concept))
    several, single = np.stack([inter, union], axis=1)
    counts = PairCounts(image, concept, several, single, 300)
    found = paired_test(counts, permutations=400)
    assert stats.kstest(found.p, "uniform").pvalue > 0.01
    assert found.verdict.count("undecided") >= 297


def test_identical_methods_are_undecided() -> None:
    counts = random_counts(30, 3)
    same = replace(counts, single=counts.multi)
    found = paired_test(same, permutations=200)
    np.testing.assert_array_equal(found.p, 1.0)
    assert found.verdict == ("undecided",) * 3
    won = bootstrap_set_iou(same, replicates=50).means().won
    assert won.array().tolist() == pytest.approx(wilson(0, 3, z=1.9599640))


def test_a_clearly_better_method_is_found_in_both_directions() -> None:
    counts = random_counts(80, 3, better=0.4)
    found = paired_test(counts, permutations=500)
    assert found.verdict == ("combination",) * 3
    np.testing.assert_array_equal(found.p, 1 / 501)
    turned = replace(counts, multi=counts.single, single=counts.multi)
    assert paired_test(turned, permutations=500).verdict == ("single filter",) * 3
    means = bootstrap_set_iou(counts, replicates=200).means()
    assert means.gain.low > 0
    assert means.won.array().tolist() == pytest.approx(wilson(3, 3, z=1.9599640))


def test_holm_matches_its_definition() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    found = holm(p)
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = set()
        for step, i in enumerate(np.argsort(p).tolist()):
            if p[i] > alpha / (12 - step):
                break
            rejected.add(i)
        assert rejected == set(np.flatnonzero(found <= alpha).tolist())


def test_corrections_only_count_what_was_tested() -> None:
    counts = random_counts(40, 2, better=0.3, present=1.0)
    more = replace(counts, num_concepts=50)
    small, large = paired_test(counts, permutations=200), paired_test(more, permutations=200)
    np.testing.assert_array_equal(small.p_holm, large.p_holm[:2])
    np.testing.assert_array_equal(small.p_fdr, large.p_fdr[:2])
    assert np.isnan(large.p_holm[2:]).all()


def test_both_corrections_are_those_of_their_names() -> None:
    found = paired_test(random_counts(20, 5, better=0.15, seed=4), permutations=300)
    np.testing.assert_allclose(found.p_holm, holm(found.p))
    np.testing.assert_allclose(found.p_fdr, stats.false_discovery_control(found.p, method="bh"))
    assert (found.p_holm > found.p_fdr).any()

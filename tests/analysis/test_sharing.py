import itertools
from math import comb

import numpy as np
import pytest

from net2vec_pl.analysis.sharing import (
    DETECTED_BY_SINGLE,
    concepts_per_filter,
    count_detectors,
    detector_scores,
    failures,
    filters_for_mass,
    overlap,
    participation_ratio,
)

NAN = np.nan


def test_concepts_per_filter_leave_out_concepts_without_one() -> None:
    best = np.array([-1, 2, 2, 0, -1, 2, 2, 2, 2])
    found = concepts_per_filter(best, 4)
    assert found.n_concepts.tolist() == [1, 0, 6, 0]
    assert found.n_without == 2
    expected = {"0": 0.5, "1": 0.25, "2–5": 0.0, "6–9": 0.25, "10–14": 0, "15–19": 0, "20+": 0}
    assert found.histogram == expected


def test_bins_hold_what_they_say() -> None:
    counts = [0, 1, 2, 5, 6, 9, 10, 14, 15, 19, 20, 500]
    found = concepts_per_filter(np.repeat(np.arange(12), counts), 12).histogram
    shares = [x * 12 for x in found.values()]
    assert shares == pytest.approx([1, 1, 2, 2, 2, 2, 2])


def test_no_concepts_and_unknown_filters() -> None:
    found = concepts_per_filter(np.zeros(0, dtype=np.int64), 3)
    assert found.histogram["0"] == 1
    with pytest.raises(ValueError, match="is 3, of 3 filters"):
        concepts_per_filter(np.array([3]), 3)


def test_filters_per_concept_match_loops() -> None:
    weight = np.random.default_rng(0).normal(size=(30, 12))
    ratio, mass = participation_ratio(weight), filters_for_mass(weight)
    for c, row in enumerate(weight):
        assert ratio[c] == pytest.approx(sum(row**2) ** 2 / sum(row**4))
        fewest = next(n for n in range(1, 13) if sum(sorted(abs(row))[-n:]) >= 0.8 * sum(abs(row)))
        assert mass[c] == fewest


def test_filters_per_concept_at_both_ends() -> None:
    weight = np.array(
        [[0, 1e-200, 0, 0], [3, -3, 3, -3], [0, 0, 0, 0], [NAN, 1, 1, 1]], dtype=float
    )
    np.testing.assert_allclose(participation_ratio(weight), [1, 4, NAN, NAN])
    np.testing.assert_array_equal(filters_for_mass(weight, 0.75), [1, 3, NAN, NAN])
    np.testing.assert_array_equal(filters_for_mass(weight, 1.0), [1, 4, NAN, NAN])
    assert participation_ratio(np.ones((1, 1))).tolist() == [1]
    assert participation_ratio(np.zeros((0, 3))).shape == (0,)


def random_choices(
    num: int, k: int, f: int, seed: int
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(k) < f for _ in range(num)])


def test_overlap_matches_enumeration() -> None:
    k, f = 7, 3
    found = overlap(random_choices(10, k, f, seed=0), permutations=10)
    sets = [set(x) for x in itertools.combinations(range(k), f)]
    common = np.array([len(sets[0] & other) for other in sets])  # by symmetry any first set will do
    assert len(sets) == comb(k, f)
    assert found.expected == pytest.approx(common.mean())
    for n in range(f + 1):
        assert found.chance[n] == pytest.approx((common == n).mean())
    for i, j in itertools.combinations(range(10), 2):
        n = found.shared[i, j]
        assert found.p[i, j] == pytest.approx((common >= n).mean())
        assert found.z[i, j] == pytest.approx((n - common.mean()) / common.std())


def test_shared_filters_match_a_loop_and_skip_concepts_without_any() -> None:
    chosen = random_choices(8, 20, 5, seed=1)
    chosen[3] = False
    found = overlap(chosen, permutations=10)
    assert found.concept.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert found.n_without == 1
    pairs = []
    for i, j in itertools.combinations(range(7), 2):
        expected = (chosen[found.concept[i]] & chosen[found.concept[j]]).sum()
        assert found.shared[i, j] == found.shared[j, i] == expected
        pairs.append(expected)
    assert found.mean == pytest.approx(np.mean(pairs))
    np.testing.assert_allclose(found.pairs, np.bincount(pairs, minlength=6) / len(pairs))


def test_random_choices_overlap_at_chance() -> None:
    p = [overlap(random_choices(20, 32, 6, s), 99, seed=s).p_mean for s in range(60)]
    assert 0.35 < np.mean(p) < 0.65
    assert np.mean(np.array(p) <= 0.1) < 0.25
    found = overlap(random_choices(200, 32, 6, seed=0), permutations=300)
    assert found.expected == pytest.approx(36 / 32)
    assert found.mean == pytest.approx(found.expected, rel=0.03)
    # Overlaps of distinct pairs are uncorrelated, so the spread of their mean is known.
    variance = (np.arange(7) ** 2 * found.chance).sum() - found.expected**2
    assert found.random_mean.std() == pytest.approx((variance / comb(200, 2)) ** 0.5, rel=0.2)
    assert found.random_mean.mean() == pytest.approx(found.expected, rel=0.01)


def test_identical_choices_share_everything() -> None:
    found = overlap(np.tile(np.arange(16) < 4, (5, 1)), permutations=99)
    assert (found.shared == 4).all()
    assert found.mean == 4
    assert found.p_mean == 0.01
    np.testing.assert_allclose(found.p, 1 / comb(16, 4))
    assert found.pairs.tolist() == [0, 0, 0, 0, 1]


def test_overlap_of_all_filters_one_concept_or_none() -> None:
    everything = overlap(np.ones((3, 4), dtype=bool), permutations=9)
    assert np.isnan(everything.z).all()
    assert everything.p_mean == 1
    one = overlap(random_choices(1, 8, 2, seed=0), permutations=9)
    assert np.isnan([one.mean, one.p_mean, *one.pairs]).all()
    none = overlap(np.zeros((2, 8), dtype=bool), permutations=9)
    assert none.n_without == 2
    assert np.isnan(none.mean)
    with pytest.raises(ValueError, match="from 1 to 2 filters"):
        overlap(np.array([[True, False], [True, True]]))


def test_a_filter_speaks_only_for_its_best_concept() -> None:
    best_concept = np.array([0, 0, 2, -1, 1, 3])
    score = np.array([0.02, 0.10, 0.03, NAN, NAN, 0.04])
    found = detector_scores(best_concept, score, 5)
    np.testing.assert_array_equal(found, [0.10, NAN, 0.03, 0.04, NAN])
    categories = ["part", "object", "part", "object", "color"]
    counts = count_detectors(found, DETECTED_BY_SINGLE, categories)
    assert counts == {"part": 1, "object": 1, "color": 0}


def test_failures_match_their_definition() -> None:
    several = np.array([0.1, 0.5, 0.3, 0.3, NAN, 0.2, 0.4, 0.0])
    single = np.array([0.2, 0.4, 0.3, NAN, 0.3, 0.3, 0.1, 0.1])
    n_train = np.array([10, 1000, 20, 5, 5, 100, 10000, 20])
    alpha = np.array([0.99, 0.5, 0.9, 0.5, 0.5, 0.98, 0.6, 0.97])
    found = failures(several, single, n_train, alpha)
    assert np.flatnonzero(found.failed).tolist() == [0, 5, 7]
    assert (found.n_failed, found.n_compared) == (3, 6)
    assert (found.few_failed, found.few_others) == (2, 1)
    assert found.images.failed == pytest.approx(np.log10(20))
    assert found.images.others == pytest.approx(3)
    assert found.size.failed == pytest.approx(0.02)
    assert found.size.others == pytest.approx(0.4)
    # All splits of six into three and three: how often is the rank sum as far from its mean?
    size = 1 - alpha[[0, 5, 7, 1, 2, 6]]
    ranks = size.argsort().argsort()
    far = [abs(sum(ranks[list(three)]) - 7.5) for three in itertools.combinations(range(6), 3)]
    assert found.size.p == pytest.approx(np.mean(np.array(far) >= far[0]))


def test_failures_of_a_bank_that_has_none() -> None:
    found = failures(np.array([0.2]), np.array([0.1]), np.array([5]), np.array([0.9]))
    assert found.n_failed == 0
    assert np.isnan([found.images.failed, found.images.p, found.size.p]).all()
    assert found.images.others == pytest.approx(np.log10(5))

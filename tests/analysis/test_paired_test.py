import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.counted import make, random_counts

from net2vec_pl.analysis import paired_test as module
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import holm, paired_test


def parts(counts: PairCounts, concept: int) -> list[float]:
    """What every image adds to the difference, one pair after the other."""
    mine = np.flatnonzero(counts.concept == concept)
    methods = [counts.multi[:, mine].astype(float), counts.single[:, mine].astype(float)]
    totals = [sum(m[1]) for m in methods]
    middle = sum(sum(m[0]) / t for m, t in zip(methods, totals, strict=True)) / 2
    found = []
    for p in range(len(mine)):
        of_methods = [
            (m[0, p] - middle * m[1, p]) / t for m, t in zip(methods, totals, strict=True)
        ]
        found.append(of_methods[0] - of_methods[1])
    return found


def exhaustive_p(counts: PairCounts, concept: int) -> float:
    """Change the sign of every subset of the parts, and count how often the sum is as large."""
    z = parts(counts, concept)
    sums = [
        abs(sum(sign * part for sign, part in zip(signs, z, strict=True)))
        for signs in itertools.product([1, -1], repeat=len(z))
    ]
    return float(np.mean(np.array(sums) >= sums[0] * (1 - 1e-9)))


def test_parts_sum_to_the_difference() -> None:
    counts = random_counts(14, 2, better=0.1, seed=3)
    for concept, gain in enumerate(paired_test(counts, permutations=10).gain):
        assert sum(parts(counts, concept)) == pytest.approx(gain)


def test_of_few_images_every_swap_is_taken() -> None:
    counts = random_counts(12, 3, better=0.1, present=1.0, seed=3)
    found = paired_test(counts, permutations=1)
    expected = [exhaustive_p(counts, c) for c in range(3)]
    np.testing.assert_allclose(found.p, expected, rtol=1e-12)


def test_p_approaches_the_exhaustive_one() -> None:
    counts = random_counts(14, 3, better=0.1, present=1.0, seed=3)
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


def test_equal_scores_from_unequal_unions_are_not_told_apart() -> None:
    # One method marks twice as much, at the same set IoU: they cannot be exchanged, yet are equal.
    rng = np.random.default_rng(2)
    rejected = []
    for _ in range(20):
        union = np.exp(rng.normal(size=(20, 50)))
        share = rng.beta(2, 3, size=(2, 20, 50))
        image, concept = (place.ravel() for place in np.indices(union.shape))
        methods = [
            np.stack([(s * by * union).ravel(), (by * union).ravel()])
            for s, by in zip(share, (1.0, 2.0), strict=True)
        ]
        p = paired_test(PairCounts(image, concept, methods[0], methods[1], 50), permutations=500).p
        rejected += (p <= 0.05).tolist()
    assert 0.03 <= np.mean(rejected) <= 0.07


def test_identical_methods_are_undecided() -> None:
    counts = random_counts(30, 3)
    same = replace(counts, single=counts.multi)
    found = paired_test(same, permutations=200)
    np.testing.assert_array_equal(found.p, 1.0)
    assert found.verdict == ("undecided",) * 3


def test_a_clearly_better_method_is_found_in_both_directions() -> None:
    counts = random_counts(80, 3, better=0.4)
    found = paired_test(counts, permutations=500)
    assert found.verdict == ("combination",) * 3
    np.testing.assert_array_equal(found.p, 1 / 501)
    turned = replace(counts, multi=counts.single, single=counts.multi)
    assert paired_test(turned, permutations=500).verdict == ("single filter",) * 3


def test_six_groups_are_needed() -> None:
    counts = random_counts(60, 1, better=0.4, present=1.0)
    for groups, verdict in ((5, "fewer than 6 groups"), (6, "combination")):
        grouped = replace(counts, group=counts.image % groups)
        found = paired_test(grouped)
        assert found.verdict == (verdict,)
        assert np.isnan(found.p[0]) == (groups == 5)
    assert found.p[0] == 2 / 2**6


def test_among_many_concepts_a_single_one_can_still_be_found() -> None:
    # Ten swaps would leave a p of 1/11; so many are drawn that a corrected p can be small.
    multi, single = np.random.default_rng(0).integers(1, 5, size=(2, 20, 100))
    multi[:, 0] += 5
    rows: list[tuple[int, int, float, float, float, float]]
    rows = [(i, c, multi[i, c], 10, single[i, c], 10) for i in range(20) for c in range(100)]
    found = paired_test(make(rows, 100), permutations=10)
    assert found.verdict[0] == "combination"
    assert found.p_holm[0] <= 0.05


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = random_counts(15, 4)
    whole = paired_test(counts, permutations=50).p
    monkeypatch.setattr(module, "_BUDGET", 100)
    np.testing.assert_array_equal(paired_test(counts, permutations=50).p, whole)


def test_holm_matches_its_definition() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    found = holm(p)
    for alpha in (0.01, 0.05, 0.15, 0.2, 0.5):
        rejected = set()
        for step, i in enumerate(np.argsort(p).tolist()):
            if p[i] > alpha / (12 - step):
                break
            rejected.add(i)
        assert rejected == set(np.flatnonzero(found <= alpha).tolist())


def test_corrections_only_count_what_was_tested() -> None:
    counts = random_counts(40, 2, better=0.3, present=1.0)
    more = replace(counts, num_concepts=5)
    small, large = paired_test(counts, permutations=200), paired_test(more, permutations=200)
    np.testing.assert_array_equal(small.p_holm, large.p_holm[:2])
    np.testing.assert_array_equal(small.p_fdr, large.p_fdr[:2])
    assert np.isnan(large.p_holm[2:]).all()


def test_both_corrections_are_those_of_their_names() -> None:
    found = paired_test(random_counts(40, 5, better=0.15, seed=4), permutations=300)
    np.testing.assert_allclose(found.p_holm, holm(found.p))
    np.testing.assert_allclose(found.p_fdr, stats.false_discovery_control(found.p, method="bh"))
    assert (found.p_holm > found.p_fdr).any()

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from net2vec_pl.analysis import intervals
from net2vec_pl.analysis.intervals import (
    PairCounts,
    bootstrap_set_iou,
    holm,
    mean_over_concepts,
    paired_test,
    spread_over_seeds,
)

Array = np.ndarray[Any, Any]


def pairs(image: Array, concept: Array, values: Array, num_concepts: int) -> PairCounts:
    """Values: intersection and union of several, then of single."""
    return PairCounts(image, concept, values[0], values[1], values[2], values[3], num_concepts)


def make(rows: list[tuple[int, int, float, float, float, float]], num_concepts: int) -> PairCounts:
    """Rows of image, concept, and intersection and union of several and of single."""
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    image, concept = columns[:2].astype(np.int64)
    return pairs(image, concept, columns[2:], num_concepts)


def random_counts(
    n_images: int, num_concepts: int, seed: int = 0, better: float = 0.0, present: float = 0.6
) -> PairCounts:
    """Two methods of the same noise; several's intersections may be larger by a share."""
    rng = np.random.default_rng(seed)
    image, concept = np.nonzero(rng.random((n_images, num_concepts)) < present)
    union = rng.integers(50, 100, size=(2, len(image)))
    share = rng.random((2, len(image))) * 0.5 + np.array([[better], [0.0]])
    inter = (union * share).astype(np.int64)
    order = rng.permutation(len(image))  # pairs come in any order
    values = np.stack([inter[0], union[0], inter[1], union[1]])[:, order]
    return pairs(image[order] * 7 + 3, concept[order], values, num_concepts)


def wilson(hits: int, n: int, z: float) -> list[float]:
    """Return a share and Wilson's bounds, from the formula."""
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return [share, middle - reach, middle + reach]


def literal_set_iou(counts: PairCounts, concept: int, drawn: list[int]) -> tuple[float, float]:
    """Set IoU of both methods over a list of images, in which an image may come twice."""
    sums = np.zeros(4)
    for image in drawn:
        for p in range(len(counts.image)):
            if counts.image[p] == image and counts.concept[p] == concept:
                sums += [*counts.several[:, p], *counts.single[:, p]]
    return (
        sums[0] / sums[1] if sums[1] > 0 else np.nan,
        sums[2] / sums[3] if sums[3] > 0 else np.nan,
    )


def test_bootstrap_matches_a_loop_over_the_same_draws() -> None:
    counts = random_counts(9, 3, present=0.4)
    found = bootstrap_set_iou(counts, replicates=40, level=0.9, seed=5)
    images = sorted(set(counts.image.tolist()))
    rng = np.random.default_rng(5)
    expected = np.empty((2, 40, 3))
    for b in range(40):
        drawn = [images[i] for i in rng.integers(len(images), size=len(images))]
        for c in range(3):
            expected[:, b, c] = literal_set_iou(counts, c, drawn)
    np.testing.assert_allclose(found.replicates, expected, rtol=1e-14)
    for c in range(3):
        gains = [s - o for s, o in expected[:, :, c].T if np.isfinite(s)]
        whole = literal_set_iou(counts, c, images)
        assert found.gain.value[c] == pytest.approx(whole[0] - whole[1])
        assert found.gain.low[c] == pytest.approx(np.quantile(gains, 0.05))
        assert found.gain.high[c] == pytest.approx(np.quantile(gains, 0.95))
        assert found.n_left_out[c] == 40 - len(gains)
    means = found.means()
    wins = sum(s > o for s, o in (literal_set_iou(counts, c, images) for c in range(3)))
    assert means.won.array().tolist() == pytest.approx(wilson(wins, 3, z=1.6448536))
    assert means.several.high == pytest.approx(np.quantile(np.nanmean(expected[0], 1), 0.95))
    assert means.gain.value == pytest.approx(np.mean(found.gain.value))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = random_counts(12, 4)
    whole, test = bootstrap_set_iou(counts, replicates=50), paired_test(counts, permutations=50)
    monkeypatch.setattr(intervals, "_BUDGET", 100)
    np.testing.assert_array_equal(
        bootstrap_set_iou(counts, replicates=50).replicates, whole.replicates
    )
    np.testing.assert_array_equal(paired_test(counts, permutations=50).p, test.p)


def test_concepts_of_the_same_images_rise_and_fall_together() -> None:
    one = random_counts(20, 1, present=1.0)
    values = np.tile(np.vstack([one.several, one.single]), 2)
    both = pairs(np.tile(one.image, 2), np.repeat([0, 1], len(one.image)), values, 2)
    found = bootstrap_set_iou(both, replicates=200)
    np.testing.assert_array_equal(found.replicates[..., 0], found.replicates[..., 1])
    mean = found.means().gain  # so the mean of two is no surer than either
    assert mean.high - mean.low == pytest.approx(found.gain.high[0] - found.gain.low[0])


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        hit = rng.random(60) < 0.4  # set IoU of an endless set: 0.4
        rows = [(i, 0, float(hit[i]), 1.0, 0.0, 1.0) for i in range(60)]
        found = bootstrap_set_iou(make(rows, 1), replicates=200, seed=seed).several
        held.append(found.low[0] <= 0.4 <= found.high[0])
    assert 0.88 <= np.mean(held) <= 0.99


def test_what_cannot_be_compared_says_why_and_is_left_out_of_means() -> None:
    nan = np.nan
    rows = [
        (0, 0, 4, 8, 2, 8),
        (1, 0, 4, 8, 2, 8),
        (0, 1, 4, 8, nan, nan),
        (1, 1, 4, 8, nan, nan),
        (1, 2, 6, 8, 2, 8),
        (0, 4, nan, nan, 2, 8),
        (1, 4, nan, nan, 2, 8),
    ]
    counts = make(rows, 5)
    found, test = bootstrap_set_iou(counts, replicates=100), paired_test(counts, permutations=99)
    reasons = ("", "no single filter", "one image", "no image", "no embedding")
    assert found.reasons == reasons
    assert test.verdict == ("undecided", *reasons[1:])
    np.testing.assert_array_equal(np.isnan(test.p), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.gain.low), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.several.low), [False, False, True, True, True])
    assert found.several.value[2] == 0.75  # known, but with no interval
    assert found.n_left_out[3] == 100
    assert 0 < found.n_left_out[2] < 100
    means = found.means()
    assert means.n_concepts == 2
    assert means.gain.value == pytest.approx((0.25 + 0.5) / 2)
    assert found.means(np.arange(5) == 0).n_concepts == 1


def test_no_pairs_give_reasons_and_no_numbers() -> None:
    counts = make([], 2)
    found, test = bootstrap_set_iou(counts, replicates=10), paired_test(counts, permutations=10)
    assert found.reasons == test.verdict == ("no image", "no image")
    assert np.isnan(found.gain.array()).all()
    assert np.isnan(found.means().won.array()).all()
    assert paired_test(make([], 0), permutations=10).verdict == ()
    assert bootstrap_set_iou(make([], 0), replicates=10).means().n_concepts == 0


def test_bad_counts_are_refused() -> None:
    good = random_counts(3, 2)
    with pytest.raises(ValueError, match="outside"):
        replace(good, num_concepts=1)
    with pytest.raises(ValueError, match="comes twice"):
        make([(0, 0, 1, 2, 1, 2)] * 2, 1)
    with pytest.raises(ValueError, match="exceeds"):
        replace(good, several_intersection=good.several_union + 1)


def exhaustive_p(counts: PairCounts, concept: int) -> float:
    """Swap the methods on every subset of the images and count how often T is as large."""
    mine = np.flatnonzero(counts.concept == concept)
    differences = []
    for swaps in itertools.product([False, True], repeat=len(mine)):
        sums = np.zeros((2, 2))
        for p, swap in zip(mine, swaps, strict=True):
            pair = [counts.several[:, p], counts.single[:, p]]
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
    counts = PairCounts(image, concept, inter[0], union[0], inter[1], union[1], 300)
    found = paired_test(counts, permutations=400)
    assert stats.kstest(found.p, "uniform").pvalue > 0.01
    assert found.verdict.count("undecided") >= 297


def test_identical_methods_are_undecided() -> None:
    counts = random_counts(30, 3)
    same = replace(
        counts,
        single_intersection=counts.several_intersection,
        single_union=counts.several_union,
    )
    found = paired_test(same, permutations=200)
    np.testing.assert_array_equal(found.p, 1.0)
    assert found.verdict == ("undecided",) * 3
    won = bootstrap_set_iou(same, replicates=50).means().won
    assert won.array().tolist() == pytest.approx(wilson(0, 3, z=1.9599640))


def test_a_mean_over_concepts_has_the_bounds_of_a_loop() -> None:
    values = np.array([0.1, np.nan, 0.4, 0.9, 0.2])
    found = mean_over_concepts(values, replicates=30, level=0.8, seed=3)
    kept, rng = [0.1, 0.4, 0.9, 0.2], np.random.default_rng(3)
    drawn = [np.mean([kept[i] for i in row]) for row in rng.integers(4, size=(30, 4))]
    expected = [0.4, *np.quantile(drawn, [0.1, 0.9])]
    assert found.array().tolist() == pytest.approx(expected)
    assert np.isnan(mean_over_concepts(np.array([np.nan])).array()).all()


def test_a_clearly_better_method_is_found_in_both_directions() -> None:
    counts = random_counts(80, 3, better=0.4)
    found = paired_test(counts, permutations=500)
    assert found.verdict == ("several",) * 3
    np.testing.assert_array_equal(found.p, 1 / 501)
    values = np.vstack([counts.single, counts.several])
    turned = pairs(counts.image, counts.concept, values, 3)
    assert paired_test(turned, permutations=500).verdict == ("one",) * 3
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


def test_spread_over_seeds_matches_a_loop_over_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, embeddings = rng.random((4, 3)), rng.normal(size=(4, 3, 6))
    embeddings[1, 2], scores[0, 1] = 0.0, np.nan
    found = spread_over_seeds(scores, embeddings)
    for c in range(3):
        rows = [e for e in embeddings[:, c] if (e != 0).any()]
        cosines = [
            a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            for a, b in itertools.combinations(rows, 2)
        ]
        assert found.cosine[c] == pytest.approx(np.mean(cosines))
        finite = [s for s in scores[:, c] if np.isfinite(s)]
        assert found.score_std[c] == pytest.approx(np.std(finite, ddof=1))
    np.testing.assert_array_equal(found.n_embeddings, [4, 4, 3])
    np.testing.assert_array_equal(found.n_scores, [4, 3, 4])


def test_one_seed_has_no_spread() -> None:
    found = spread_over_seeds(np.ones((1, 2)), np.ones((1, 2, 3)))
    assert np.isnan(found.score_std).all()
    assert np.isnan(found.cosine).all()

import numpy as np
import pytest
from support.counted import make, random_counts, wilson

from net2vec_pl.analysis.intervals import bootstrap_set_iou, mean_over_concepts
from net2vec_pl.analysis.pair_counts import PairCounts


def literal_set_iou(counts: PairCounts, concept: int, drawn: list[int]) -> tuple[float, float]:
    """Set IoU of both methods over a list of images, in which an image may come twice."""
    sums = np.zeros(4)
    for image in drawn:
        for p in range(len(counts.image)):
            if counts.image[p] == image and counts.concept[p] == concept:
                sums += [*counts.multi[:, p], *counts.single[:, p]]
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
    assert means.multi.high == pytest.approx(np.quantile(np.nanmean(expected[0], 1), 0.95))
    assert means.gain.value == pytest.approx(np.mean(found.gain.value))


def test_concepts_of_the_same_images_rise_and_fall_together() -> None:
    one = random_counts(20, 1, present=1.0)
    image, concept = np.tile(one.image, 2), np.repeat([0, 1], len(one.image))
    both = PairCounts(image, concept, np.tile(one.multi, 2), np.tile(one.single, 2), 2)
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
        found = bootstrap_set_iou(make(rows, 1), replicates=200, seed=seed).multi
        held.append(found.low[0] <= 0.4 <= found.high[0])
    assert 0.88 <= np.mean(held) <= 0.99


def test_a_mean_over_concepts_has_the_bounds_of_a_loop() -> None:
    values = np.array([0.1, np.nan, 0.4, 0.9, 0.2])
    found = mean_over_concepts(values, replicates=30, level=0.8, seed=3)
    kept, rng = [0.1, 0.4, 0.9, 0.2], np.random.default_rng(3)
    drawn = [np.mean([kept[i] for i in row]) for row in rng.integers(4, size=(30, 4))]
    expected = [0.4, *np.quantile(drawn, [0.1, 0.9])]
    assert found.array().tolist() == pytest.approx(expected)
    assert np.isnan(mean_over_concepts(np.array([np.nan])).array()).all()


def test_a_tie_is_not_won_and_a_mean_of_either_method_has_its_own_bounds() -> None:
    rows = [(i, c, 3.0 + i, 10.0, 3.0 + i - (c == 0), 10.0) for i in range(6) for c in range(2)]
    counts = make(rows, 2)
    found = bootstrap_set_iou(counts, replicates=60, seed=2)
    means = found.means()
    assert means.won.value == 0.5
    for name, drawn in (("multi", found.replicates[0]), ("single", found.replicates[1])):
        bounds = np.quantile(drawn.mean(1), [0.025, 0.975])
        assert getattr(means, name).array()[1:].tolist() == pytest.approx(bounds.tolist())
        of_first = np.quantile(drawn[:, 0], [0.025, 0.975])
        assert getattr(found, name).array()[1:, 0].tolist() == pytest.approx(of_first.tolist())


def test_one_image_gives_no_bounds_and_one_category_only_its_own_concepts() -> None:
    rows = [(0, 0, 5.0, 10.0, 4.0, 10.0), *((i, 1, i + 1.0, 9.0, 2.0, 9.0) for i in range(5))]
    rows += [(i, 2, 1.0, 2.0, 0.0, 0.0) for i in range(5)]  # no filter: no gain
    found = bootstrap_set_iou(make(rows, 3), replicates=40)
    assert np.isnan(found.gain.low).tolist() == [True, False, True]
    assert np.isnan(found.multi.low).tolist() == [True, False, False]
    means = found.means(np.array([False, True, True]))
    assert means.n_concepts == 1
    assert means.multi.value == pytest.approx(15 / 45)
    assert found.means().n_concepts == 2


def test_resamples_in_which_either_method_has_nothing_are_left_out() -> None:
    rows = [(0, 0, 5.0, 10.0, 4.0, 10.0), (1, 0, 5.0, 10.0, 0.0, 0.0)]  # one finds, the other not
    found = bootstrap_set_iou(make(rows, 1), replicates=50, seed=1)
    rng = np.random.default_rng(1)
    drawn = [rng.integers(2, size=2).tolist() for _ in range(50)]
    assert found.n_left_out[0] == drawn.count([1, 1]) > 0


def test_a_mean_over_concepts_counts_losses_too() -> None:
    assert mean_over_concepts(np.array([-0.5, 0.0, 0.2])).value == pytest.approx(-0.1)

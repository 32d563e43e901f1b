import numpy as np
import pytest
from simulated.scores import covered
from support.counted import make, random_counts
from support.jackknifed import jackknifed

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import PairCounts


def literal_set_iou(counts: PairCounts, concept: int, without: int | None = None) -> list[float]:
    """Set IoU of both methods and their difference, without one image or group."""
    sums = np.zeros(4)
    unit = counts.image if counts.group is None else counts.group
    for p in range(len(counts.image)):
        if counts.concept[p] == concept and unit[p] != without:
            sums += [*counts.multi[:, p], *counts.single[:, p]]
    multi = sums[0] / sums[1] if sums[1] > 0 else np.nan
    single = sums[2] / sums[3] if sums[3] > 0 else np.nan
    return [multi, single, multi - single]


def literal_weights(counts: PairCounts, concept: int, which: int) -> dict[int, float]:
    """What each unit counts in a concept's score: its share of the union, or the mean of both."""
    unit = counts.image if counts.group is None else counts.group
    found: dict[int, float] = {}
    for method in ((0,), (1,), (0, 1))[which]:
        union = (counts.multi, counts.single)[method][1]
        total = union[counts.concept == concept].sum()
        for p in np.flatnonzero(counts.concept == concept):
            share = union[p] / total / len(((0,), (1,), (0, 1))[which])
            found[int(unit[p])] = found.get(int(unit[p]), 0.0) + share
    return found


@pytest.mark.parametrize("grouped", [False, True])
def test_every_interval_is_that_of_a_loop(grouped: bool) -> None:
    counts = random_counts(40, 3, present=0.6, seed=2)
    if grouped:
        group = (counts.image - 3) // 7 % 7
        counts = PairCounts(counts.image, counts.concept, counts.multi, counts.single, 3, group)
    found = SetIouIntervals(counts, level=0.9)
    units = sorted({*(counts.image if counts.group is None else counts.group).tolist()})
    for which, interval in enumerate((found.multi, found.single, found.gain)):
        for c in range(3):
            weights = literal_weights(counts, c, which)
            value = literal_set_iou(counts, c)[which]
            without = [literal_set_iou(counts, c, unit)[which] for unit in weights]
            bounds = jackknifed(
                value, without, [*weights.values()], 0.9, share=which < 2, skewed=which < 2
            )
            assert interval.value[c] == pytest.approx(value)
            assert (interval.low[c], interval.high[c]) == pytest.approx(bounds)
    means = found.means()
    for which, mean in enumerate((means.multi, means.single, means.gain)):
        value = float(np.mean([literal_set_iou(counts, c)[which] for c in range(3)]))
        without, weights_of_units = [], []
        for unit in units:
            parts = [literal_set_iou(counts, c, unit)[which] for c in range(3)]
            without.append(float(np.mean(parts)))
            shares = [literal_weights(counts, c, which).get(unit, 0.0) for c in range(3)]
            weights_of_units.append(sum(shares))
        bounds = jackknifed(
            value, without, weights_of_units, 0.9, share=which < 2, skewed=which < 2
        )
        assert mean.value == pytest.approx(value)
        assert (float(mean.low), float(mean.high)) == pytest.approx(bounds)
    assert means.n_won == sum(literal_set_iou(counts, c)[2] > 0 for c in range(3))


def test_concepts_of_the_same_images_rise_and_fall_together() -> None:
    one = random_counts(20, 1, present=1.0)
    image, concept = np.tile(one.image, 2), np.repeat([0, 1], len(one.image))
    both = PairCounts(image, concept, np.tile(one.multi, 2), np.tile(one.single, 2), 2)
    found = SetIouIntervals(both)
    mean = found.means().gain  # so the mean of two is no surer than either
    assert mean.high - mean.low == pytest.approx(found.gain.high[0] - found.gain.low[0])


@pytest.mark.parametrize("part", ["concept", "mean", "gain", "mean gain"])
@pytest.mark.parametrize(("films", "frames"), [(16, 1), (4, 40)])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    part: str, films: int, frames: int
) -> None:
    # The slow table of docs/method.md has more draws.
    assert 0.9 <= covered(200, part, films, frames, alike=0.3) <= 0.99


def test_ten_images_are_needed_and_one_category_has_only_its_own_concepts() -> None:
    rows = [(i, 0, 5.0 + i % 3, 10.0, 4.0, 10.0) for i in range(9)]
    rows += [(i, 1, i + 1.0, 19.0, 2.0, 9.0) for i in range(10)]
    rows += [(i, 2, 1.0, 2.0, 0.0, 0.0) for i in range(10)]  # no filter: no gain
    found = SetIouIntervals(make(rows, 3))
    assert np.isnan(found.gain.low).tolist() == [True, False, True]
    assert np.isnan(found.multi.low).tolist() == [True, False, False]
    means = found.means(np.array([False, True, True]))
    assert means.n_concepts == 1
    assert means.multi.value == pytest.approx(55 / 190)
    assert found.means().n_concepts == 2


def test_a_concept_of_one_image_leaves_the_mean_with_it() -> None:
    rows = [(i, 0, 2.0 + i % 2, 10.0, 1.0, 10.0) for i in range(10)]
    found = SetIouIntervals(make([*rows, (0, 1, 9.0, 10.0, 1.0, 10.0)], 2)).means()
    assert found.multi.value == pytest.approx((0.25 + 0.9) / 2)
    alone = SetIouIntervals(make(rows, 1)).means()
    assert found.multi.high - found.multi.low > 2 * (alone.multi.high - alone.multi.low)


def test_a_tie_is_not_won() -> None:
    rows = [(i, c, 3.0 + i, 10.0, 3.0 + i - (c == 0), 10.0) for i in range(6) for c in range(2)]
    assert SetIouIntervals(make(rows, 2)).means().n_won == 1

from dataclasses import replace

import numpy as np
import pytest
from support.counted import make, random_counts

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import set_ious
from net2vec_pl.analysis.paired_test import paired_test


def test_bad_counts_are_refused() -> None:
    good = random_counts(3, 2)
    with pytest.raises(ValueError, match="outside"):
        replace(good, num_concepts=1)
    with pytest.raises(ValueError, match="comes twice"):
        make([(0, 0, 1, 2, 1, 2)] * 2, 1)
    with pytest.raises(ValueError, match="exceeds"):
        replace(good, multi=good.multi[::-1])


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_what_cannot_be_compared_says_why_and_is_left_out_of_means(nothing: float) -> None:
    rows: list[tuple[int, int, float, float, float, float]]
    rows = [(i, 0, 4, 8, 2 + i % 2, 8) for i in range(10)]
    rows += [(i, 1, 4, 8, nothing, nothing) for i in range(10)]
    rows += [(1, 2, 6, 8, 2.5, 8)]
    rows += [(i, 4, nothing, nothing, 2, 8) for i in range(10)]
    counts = make(rows, 5)
    found, test = SetIouIntervals(counts), paired_test(counts, permutations=99)
    few = "fewer than 10 images"
    reasons = ("", "no single filter", few, "no image", "no embedding")
    assert counts.reasons() == reasons
    assert test.verdict == ("combination", *reasons[1:])
    np.testing.assert_array_equal(np.isnan(test.p), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.gain.low), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.multi.low), [False, False, True, True, True])
    assert found.multi.value[2] == 0.75  # known, but with no interval
    means = found.means()
    assert means.n_concepts == 2
    assert means.gain.value == pytest.approx((0.1875 + 0.4375) / 2)
    assert found.means(np.arange(5) == 0).n_concepts == 1


def test_no_pairs_give_reasons_and_no_numbers() -> None:
    counts = make([], 2)
    found, test = SetIouIntervals(counts), paired_test(counts, permutations=10)
    assert counts.reasons() == test.verdict == ("no image", "no image")
    assert np.isnan(found.gain.array()).all()
    assert np.isnan(found.means().gain.array()).all()
    assert found.means().n_won == 0
    assert paired_test(make([], 0), permutations=10).verdict == ()
    assert SetIouIntervals(make([], 0)).means().n_concepts == 0


def test_units_are_images_or_groups() -> None:
    counts = make([(5, 0, 1, 2, 0, 3), (9, 0, 1, 4, 1, 1), (9, 1, 2, 2, 0, 1)], 2)
    units = counts.by_unit
    assert units.num_units == 2
    assert units.unit.tolist() == [0, 1, 1]
    assert units.concept.tolist() == [0, 0, 1]
    assert units.sums[0].tolist() == [[1, 1, 2], [2, 4, 2]]
    one = replace(counts, group=np.zeros(3, np.int64)).by_unit
    assert one.num_units == 1
    assert one.sums[:, :, 0].tolist() == [[2, 6], [1, 4]]


def test_a_mask_that_meets_nothing_scores_zero() -> None:
    score = set_ious(np.array([[[0.0, 2.0, 0.0], [4.0, 4.0, 0.0]]]))
    np.testing.assert_array_equal(score, [[0.0, 0.5, np.nan]])

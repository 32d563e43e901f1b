from dataclasses import replace

import numpy as np
import pytest
from support.counted import make, random_counts

from net2vec_pl.analysis import pair_counts
from net2vec_pl.analysis.intervals import bootstrap_set_iou
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
    rows = [
        (0, 0, 4, 8, 2, 8),
        (1, 0, 4, 8, 2, 8),
        (0, 1, 4, 8, nothing, nothing),
        (1, 1, 4, 8, nothing, nothing),
        (1, 2, 6, 8, 2, 8),
        (0, 4, nothing, nothing, 2, 8),
        (1, 4, nothing, nothing, 2, 8),
    ]
    counts = make(rows, 5)
    found, test = bootstrap_set_iou(counts, replicates=100), paired_test(counts, permutations=99)
    reasons = ("", "no single filter", "one image", "no image", "no embedding")
    assert found.reasons == reasons
    assert test.verdict == ("undecided", *reasons[1:])
    np.testing.assert_array_equal(np.isnan(test.p), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.gain.low), [False, True, True, True, True])
    np.testing.assert_array_equal(np.isnan(found.multi.low), [False, False, True, True, True])
    assert found.multi.value[2] == 0.75  # known, but with no interval
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


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = random_counts(12, 4)
    whole, test = bootstrap_set_iou(counts, replicates=50), paired_test(counts, permutations=50)
    monkeypatch.setattr(pair_counts, "_BUDGET", 100)
    np.testing.assert_array_equal(
        bootstrap_set_iou(counts, replicates=50).replicates, whole.replicates
    )
    np.testing.assert_array_equal(paired_test(counts, permutations=50).p, test.p)


def test_a_mask_that_meets_nothing_scores_zero() -> None:
    score = set_ious(np.array([[[0.0, 2.0, 0.0], [4.0, 4.0, 0.0]]]))
    np.testing.assert_array_equal(score, [[0.0, 0.5, np.nan]])

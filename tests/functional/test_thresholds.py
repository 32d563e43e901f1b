"""The threshold of largest set IoU, against a loop over every score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from net2vec_pl.functional.average_precision import NUM_BINS, bin_floors, logit_bins
from net2vec_pl.functional.thresholds import best_threshold


def histogram(scores: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    bins = logit_bins(scores).long()
    counts = [torch.bincount(bins[mask], minlength=NUM_BINS) for mask in (truth, ~truth)]
    return counts[0], counts[1]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-3, 3), scale=st.sampled_from([0.1, 1.0, 10.0]))
def test_no_threshold_between_scores_is_better(seed: int, shift: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(200, generator=generator) < 0.3
    scores = (torch.randn(200, generator=generator) + shift + truth) * scale
    positives, negatives = histogram(scores, truth)
    found, score = best_threshold(positives, negatives)

    def iou(cut: float) -> float:
        called = scores.double() > cut
        return float((called & truth).sum()) / max(float((called | truth).sum()), 1.0)

    assert float(score) == pytest.approx(iou(float(found)), abs=1e-12)  # what it says is so
    floors = bin_floors().tolist()
    assert float(score) == pytest.approx(max(map(iou, floors)), abs=1e-12)
    exact = max(iou(cut) for cut in np.nextafter(scores.double().numpy(), -np.inf))
    # A cut inside a bin parts at most the scores that share it, and the union has all of the truth.
    shared = int((positives + negatives).max())
    assert float(score) >= exact - shared / int(truth.sum())


def test_an_equal_score_of_other_pixels_is_no_empty_stretch() -> None:
    """One pixel in two is found above 4; below 1 both are, among twice as many: 1/2 either way."""
    positives, negatives = torch.zeros(2, NUM_BINS).long()
    one, four = logit_bins(torch.tensor([1.0, 4.0])).long().tolist()
    positives[four], positives[one], negatives[one] = 1, 1, 2
    found, score = best_threshold(positives, negatives)
    floors = bin_floors()
    assert score == 0.5
    assert found == (floors[four] + floors[one + 1]) / 2
    assert found > 1


def test_every_score_is_above_the_floor_of_its_bin_and_at_most_the_next() -> None:
    edges = torch.tensor([0.0, 1.0, -1.0, 2.0**-10, -(2.0**-10), 64.0, -64.0, 1e9, -1e9])
    scores = torch.cat([torch.randn(10_000) * 3, edges])
    floors, bins = bin_floors(), logit_bins(scores).long()
    assert (scores.double() > floors[bins]).all()
    inner = bins < NUM_BINS - 1
    assert (scores[inner].double() <= floors[bins[inner] + 1]).all()
    assert (floors.diff() > 0).all()


def test_a_threshold_lies_half_way_between_the_scores_it_parts() -> None:
    truth = torch.tensor([True, True, False, False])
    found, score = best_threshold(*histogram(torch.tensor([3.0, 5.0, -1.0, -2.0]), truth))
    assert score == 1
    assert found == pytest.approx(1.0, abs=0.05)  # bins are 3 % wide
    found, _ = best_threshold(*histogram(torch.full((4,), 2.0), truth))
    assert 1.9 < found < 2.0  # there is nothing to part it from


def test_without_a_pixel_of_the_concept_there_is_no_score() -> None:
    positives = torch.zeros(2, NUM_BINS, dtype=torch.int64)
    positives[1, 700] = 4
    threshold, score = best_threshold(positives, torch.ones_like(positives))
    assert threshold[0] == 0
    assert score[0].isnan()
    assert score[1] == pytest.approx(4 / (4 + NUM_BINS - 700))

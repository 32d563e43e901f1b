"""Intervals and tests take whole groups, and images alike make intervals by images too short."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import make, random_counts

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import paired_test

TRUTH = 0.4


def in_films(num_films: int, frames: int, concepts: int, alike: float, seed: int) -> PairCounts:
    """Each film has a truth of its own around 0.4; its frames vary around it, or are copies."""
    rng = np.random.default_rng(seed)
    of_film = rng.normal(size=(num_films, 1, concepts))
    of_frame = rng.normal(size=(num_films, frames, concepts))
    seen = TRUTH + 0.1 * (alike**0.5 * of_film + (1 - alike) ** 0.5 * of_frame)
    seen = seen.reshape(-1, concepts).clip(0, 1)
    image, concept = (place.ravel() for place in np.indices(seen.shape))
    multi = np.stack([seen.ravel(), np.ones(seen.size)])
    return PairCounts(image, concept, multi, multi * 0.5, concepts, image // frames)


def test_the_images_of_a_group_are_one_unit() -> None:
    counts = random_counts(30, 3, present=0.7)
    counts = replace(counts, group=counts.image // 7 % 12)
    assert counts.group is not None
    rows = [
        [*counts.multi[:, mine].sum(1), *counts.single[:, mine].sum(1)]
        for c in range(3)
        for g in range(12)
        for mine in [(counts.concept == c) & (counts.group == g)]
    ]
    places = [(g, c) for c in range(3) for g in range(12)]
    merged = make([(g, c, *row) for (g, c), row in zip(places, rows, strict=True)], 3)
    merged = replace(merged, group=merged.image)
    one, other = SetIouIntervals(counts).means(), SetIouIntervals(merged).means()
    for name in ("multi", "single", "gain"):
        expected = getattr(other, name).array()
        np.testing.assert_allclose(getattr(one, name).array(), expected, rtol=1e-12)


@settings(max_examples=20)
@given(st.integers(10, 15), st.integers(1, 3), st.permutations(range(15)), st.integers(0, 9))
def test_groups_of_one_image_change_no_number(
    images: int, concepts: int, numbers: list[int], seed: int
) -> None:
    plain = random_counts(images, concepts, seed=seed)
    grouped = replace(plain, group=np.array(numbers)[(plain.image - 3) // 7])
    enough = plain.n_images >= 10  # groups need images too
    for name in ("multi", "single", "gain"):
        one, other = (getattr(SetIouIntervals(c), name).array() for c in (plain, grouped))
        np.testing.assert_allclose(one[:, enough], other[:, enough], atol=1e-12)
    p, q = (paired_test(c, permutations=20, seed=seed) for c in (plain, grouped))
    if plain.by_unit.num_units <= 12:  # else swaps are drawn, for units in their own order
        np.testing.assert_allclose(p.p, q.p, rtol=1e-12)


@pytest.mark.parametrize("alike", [0.2, 0.5, 1.0])
def test_four_films_hold_the_truth_by_film_only(alike: float) -> None:
    by_film: list[bool] = []
    by_image: list[bool] = []
    for seed in range(20):
        counts = in_films(4, 40, 50, alike, seed)
        for held, found in ((by_film, counts), (by_image, replace(counts, group=None))):
            interval = SetIouIntervals(found).multi
            held += ((interval.low <= TRUTH) & (interval.high >= TRUTH)).tolist()
    assert 0.92 <= np.mean(by_film) <= 0.97
    assert np.mean(by_image) < 0.7


def test_frames_that_are_no_more_alike_than_others_lose_little() -> None:
    held = []
    for seed in range(20):
        interval = SetIouIntervals(in_films(4, 40, 50, 0.0, seed)).multi
        held += ((interval.low <= TRUTH) & (interval.high >= TRUTH)).tolist()
    assert 0.92 <= np.mean(held) <= 0.97


def test_a_film_is_swapped_as_one() -> None:
    counts = in_films(8, 5, 40, 0.8, 3)
    other = in_films(8, 5, 40, 0.8, 4)
    both = replace(counts, single=other.multi)
    by_film = paired_test(both).p
    by_image = paired_test(replace(both, group=None)).p
    assert np.mean(by_film <= 0.05) < 0.15
    assert np.mean(by_image <= 0.05) > 0.3


def test_a_concept_of_two_groups_has_no_interval() -> None:
    rows = [(i, c, 3.0 + i % 4, 10.0, 2.0, 10.0) for i in range(12) for c in range(2)]
    counts = make([*rows, (12, 1, 3.0, 9.0, 2.0, 9.0), (12, 2, 3.0, 9.0, 2.0, 9.0)], 3)
    counts = replace(counts, group=counts.image // 6)
    assert counts.reasons() == ("fewer than 3 groups", "", "fewer than 10 images")
    assert np.isnan(SetIouIntervals(counts).gain.low).tolist() == [True, False, True]
    assert counts.n_units.tolist() == [2, 3, 1]
    assert paired_test(counts).verdict[1] == "fewer than 6 groups"


def test_an_image_is_of_one_group() -> None:
    counts = make([(0, 0, 1, 2, 1, 2), (0, 1, 1, 2, 1, 2)], 2)
    with pytest.raises(ValueError, match="an image is of two groups"):
        replace(counts, group=np.array([0, 1]))

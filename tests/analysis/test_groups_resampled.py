"""Intervals and tests draw whole groups, and images alike make intervals by images too short."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.counted import make, random_counts

from net2vec_pl.analysis.intervals import bootstrap_set_iou
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import paired_test


def literal(counts: PairCounts, concept: int, times: dict[int, int], method: str) -> float:
    """Set IoU over groups that come several times, pair by pair."""
    assert counts.group is not None
    inside, union = 0.0, 0.0
    for p in range(len(counts.image)):
        if counts.concept[p] == concept:
            inside += times[int(counts.group[p])] * getattr(counts, method)[0, p]
            union += times[int(counts.group[p])] * getattr(counts, method)[1, p]
    return inside / union if union else float("nan")


def in_films(num_films: int, frames: int, seed: int, copies: bool) -> PairCounts:
    """Each film has a truth of its own around 0.4; its frames are copies, or vary around it."""
    rng = np.random.default_rng(seed)
    rows = []
    for film in range(num_films):
        score = rng.beta(2, 3)
        for frame in range(frames):
            seen = score if copies else rng.beta(2, 3)
            rows.append((film * frames + frame, 0, seen, 1.0, 0.0, 1.0))
    counts = make(rows, 1)
    return replace(counts, group=counts.image // frames)


def test_a_group_is_drawn_as_one() -> None:
    plain = random_counts(12, 3, present=0.5)
    order = {image: n for n, image in enumerate(sorted({*plain.image.tolist()}))}
    # Numbers of groups fall where images rise: draws follow the images.
    group = np.array([9 - order[image] // 3 for image in plain.image.tolist()])
    counts = replace(plain, group=group)
    groups = sorted({*group.tolist()}, reverse=True)
    found = bootstrap_set_iou(counts, replicates=30, seed=4)
    rng = np.random.default_rng(4)
    for b in range(30):
        drawn = rng.integers(len(groups), size=len(groups)).tolist()
        times = {one: drawn.count(place) for place, one in enumerate(groups)}
        for c in range(3):
            for method, name in enumerate(("multi", "single")):
                expected = literal(counts, c, times, name)
                np.testing.assert_allclose(found.replicates[method, b, c], expected, rtol=1e-14)
    np.testing.assert_array_equal(found.n_images, plain.n_images)


def test_a_group_is_swapped_as_one() -> None:
    plain = random_counts(12, 2, present=0.7)
    counts = replace(plain, group=plain.image // 21)
    groups = sorted({*counts.group.tolist()})  # type: ignore[union-attr]
    found = paired_test(counts, permutations=50, seed=1)
    rng, reached = np.random.default_rng(1), np.zeros(2)
    for _ in range(50):
        drawn = rng.integers(2, size=len(groups), dtype=bool)
        swap = dict(zip(groups, drawn.tolist(), strict=True))
        both = np.array([swap[one] for one in counts.group.tolist()])  # type: ignore[union-attr]
        first = np.where(both, counts.single, counts.multi)
        second = np.where(both, counts.multi, counts.single)
        for c in range(2):
            mine = counts.concept == c
            one, two = first[:, mine].sum(1), second[:, mine].sum(1)
            change = one[0] / one[1] - two[0] / two[1]
            reached[c] += abs(change) >= abs(found.gain[c]) - 1e-12
    np.testing.assert_allclose(found.p, (1 + reached) / 51)


@settings(max_examples=20)
@given(st.integers(1, 15), st.integers(1, 3), st.permutations(range(15)), st.integers(0, 9))
def test_groups_of_one_image_change_not_a_bit(
    images: int, concepts: int, numbers: list[int], seed: int
) -> None:
    plain = random_counts(images, concepts, seed=seed)
    grouped = replace(plain, group=np.array(numbers)[(plain.image - 3) // 7])
    one, other = (bootstrap_set_iou(c, replicates=20, seed=seed) for c in (plain, grouped))
    np.testing.assert_array_equal(one.replicates, other.replicates)
    np.testing.assert_array_equal(one.gain.array(), other.gain.array())
    assert one.reasons == other.reasons
    p, q = (paired_test(c, permutations=20, seed=seed) for c in (plain, grouped))
    np.testing.assert_array_equal(p.p, q.p)
    assert p.verdict == q.verdict


def held(counts: PairCounts, truth: float, seed: int) -> bool:
    found = bootstrap_set_iou(counts, replicates=200, seed=seed).multi
    return bool(found.low[0] <= truth <= found.high[0])


def test_frames_that_are_copies_hold_the_truth_by_groups_only() -> None:
    by_group, by_image = [], []
    for seed in range(150):
        counts = in_films(30, 8, seed, copies=True)
        by_group.append(held(counts, 0.4, seed))
        by_image.append(held(replace(counts, group=None), 0.4, seed))
    assert 0.88 <= np.mean(by_group) <= 0.99
    assert np.mean(by_image) < 0.65  # an interval that is shorter by the root of 8 holds 51 %


def test_frames_that_are_no_more_alike_than_others_lose_little() -> None:
    by_group = [held(in_films(30, 8, seed, copies=False), 0.4, seed) for seed in range(100)]
    assert 0.86 <= np.mean(by_group) <= 1.0


def test_a_concept_of_one_group_has_no_interval() -> None:
    rows = [(i, c, 3.0 + i, 10.0, 2.0, 10.0) for i in range(4) for c in range(2)]
    counts = make([*rows, (4, 1, 3.0, 9.0, 2.0, 9.0), (4, 2, 3.0, 9.0, 2.0, 9.0)], 3)
    counts = replace(counts, group=counts.image // 4)
    found, test = bootstrap_set_iou(counts, replicates=30), paired_test(counts, permutations=30)
    assert found.reasons == (*test.verdict[:1], "", "one image") == ("one group", "", "one image")
    assert np.isnan(found.gain.low).tolist() == [True, False, True]
    assert counts.n_drawn.tolist() == [1, 2, 1]
    assert counts.drawn_as.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 4, 4]


def test_an_image_is_of_one_group() -> None:
    counts = make([(0, 0, 1, 2, 1, 2), (0, 1, 1, 2, 1, 2)], 2)
    with pytest.raises(ValueError, match="an image is of two groups"):
        replace(counts, group=np.array([0, 1]))

"""Means of many settings over the same images: literal intervals and swaps, simulated levels."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from simulated import compare as simulated
from support.counted import random_counts
from support.jackknifed import jackknifed

from net2vec_pl.analysis.intervals import MeanParts, SetIouIntervals
from net2vec_pl.analysis.mean_differences import averaged, mean_differences
from net2vec_pl.analysis.pair_counts import PairCounts


def literal_mean(counts: PairCounts, method: int, without: int | None = None) -> float:
    """Average set IoUs over concepts, image by image, leaving one image out."""
    scores = []
    for c in range(counts.num_concepts):
        inside = union = 0
        for p, (image, concept) in enumerate(zip(counts.image, counts.concept, strict=True)):
            if concept == c and image != without:
                pixels = (counts.multi, counts.single)[method][:, p]
                inside, union = inside + int(pixels[0]), union + int(pixels[1])
        if union:
            scores.append(inside / union)
    return float(np.mean(scores))


def parts(counts: PairCounts, which: int = 0) -> MeanParts:
    return SetIouIntervals(counts).parts(which, np.ones(counts.num_concepts, dtype=bool))


def settings(n_images: int, count: int = 2) -> list[PairCounts]:
    """Several settings on the same pairs."""
    base = random_counts(n_images, 3, seed=5, present=0.8)
    rng, made = np.random.default_rng(6), []
    for _ in range(count):
        union = rng.integers(50, 100, size=len(base.image))
        inside = (union * rng.random(len(union))).astype(np.int64)
        made.append(replace(base, multi=np.stack([inside, union])))
    return made


def test_a_mean_is_taken_apart_as_by_a_literal_loop() -> None:
    (counts,) = settings(11, 1)
    found = parts(counts)
    assert found.value == pytest.approx(literal_mean(counts, 0))
    expected = [literal_mean(counts, 0, image) for image in np.unique(counts.image)]
    np.testing.assert_allclose(found.without, expected)
    assert found.weight.sum() == pytest.approx(counts.num_concepts)


def test_a_concept_whose_only_image_is_left_out_leaves_the_mean() -> None:
    counts = random_counts(11, 3, present=1.0)
    rare = np.flatnonzero((counts.concept != 2) | (counts.image == counts.image.max()))
    few = PairCounts(
        counts.image[rare], counts.concept[rare], counts.multi[:, rare], counts.single[:, rare], 3
    )
    expected = [literal_mean(few, 0, image) for image in np.unique(few.image)]
    np.testing.assert_allclose(parts(few).without, expected)


def test_differences_are_those_of_literal_means_and_swaps() -> None:
    one, two = settings(11)
    images = np.unique(one.image)
    n = len(images)
    difference = literal_mean(one, 0) - literal_mean(two, 0)
    left_out = np.array([literal_mean(one, 0, u) - literal_mean(two, 0, u) for u in images])
    z = n * difference - (n - 1) * left_out  # pseudo-values
    reached = [
        abs(np.dot(signs, z)) >= abs(z.sum()) * (1 - 1e-9)
        for signs in itertools.product((-1, 1), repeat=n)
    ]
    found = mean_differences([parts(one), parts(two)])
    assert found.difference[0] == pytest.approx(difference)
    assert found.p[0] == pytest.approx(np.mean(reached))
    weight = (parts(one).weight + parts(two).weight) / 2
    bounds = jackknifed(difference, left_out.tolist(), weight.tolist())
    assert (found.low[0], found.high[0]) == pytest.approx(bounds)


def test_random_swaps_of_more_images_approach_all_of_them() -> None:
    one, two = (parts(of) for of in settings(13))
    z = 13 * (one.value - two.value) - 12 * (one.without - two.without)
    signs = np.array([*itertools.product((-1, 1), repeat=13)])
    exact = np.mean(np.abs(signs @ z) >= abs(z.sum()) * (1 - 1e-9))
    assert 0.1 < exact < 0.9
    found = mean_differences([one, two], permutations=20_000)
    assert found.p[0] == pytest.approx(exact, abs=0.015)  # four standard errors
    assert mean_differences([one, two], permutations=19).p[0] in np.arange(1, 21) / 20


def test_pairs_stand_as_in_an_upper_triangle_and_each_is_as_alone() -> None:
    made = [parts(of) for of in settings(11, 4)]
    found = mean_differences(made)
    assert [*zip(found.first, found.second, strict=True)] == [*itertools.combinations(range(4), 2)]
    for t, (a, b) in enumerate(itertools.combinations(range(4), 2)):
        alone = mean_differences([made[a], made[b]])
        for name in ("difference", "low", "high", "p"):
            assert getattr(found, name)[t] == pytest.approx(getattr(alone, name)[0])
    assert len(mean_differences(made[:1]).p) == 0


def test_equal_settings_never_differ() -> None:
    one = parts(settings(14, 1)[0])
    found = mean_differences([one, one, one])
    assert found.low.tolist() == found.high.tolist() == [0, 0, 0]
    assert found.p.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("images", "groups", "bounded", "tested"),
    [(9, 0, False, False), (10, 0, True, True), (20, 2, False, False), (20, 3, True, False),
     (20, 5, True, False), (20, 6, True, True), (9, 9, False, False)],
)  # fmt: skip
def test_few_units_have_no_interval_or_no_test(
    images: int, groups: int, bounded: bool, tested: bool
) -> None:
    made = settings(images)
    if groups:
        of_image = np.unique(made[0].image, return_inverse=True)[1] % groups
        made = [replace(of, group=of_image) for of in made]
    found = mean_differences([parts(of) for of in made])
    assert np.isfinite(found.low[0]) == bounded
    assert np.isfinite(found.p[0]) == tested


def test_seeds_are_averaged() -> None:
    made = [parts(of) for of in settings(11, 3)]
    found = averaged(made)
    assert found.value == pytest.approx(np.mean([m.value for m in made]))
    np.testing.assert_allclose(found.without, np.mean([m.without for m in made], axis=0))


def test_a_planted_difference_is_found_and_turned_with_the_pair() -> None:
    counts = random_counts(60, 4, better=0.2)
    one, two = parts(counts, 0), parts(counts, 1)
    found, turned = mean_differences([one, two]), mean_differences([two, one])
    assert found.p[0] == 1 / 10_001
    assert found.low[0] > 0.1
    assert (turned.low[0], turned.high[0]) == pytest.approx((-found.high[0], -found.low[0]))


@pytest.mark.parametrize(
    "drawn",
    [
        {"images": 40, "larger": 4.0, "crossing": 0.8},
        {"images": 60, "bundle": 3},
        {"images": 60, "bundle": 3, "groups": 10},
    ],
    ids=["larger unions, each better at half", "bundles of three", "films"],
)
def test_levels_hold_where_means_are_equal(drawn: dict[str, Any]) -> None:
    # 400 draws: 3 to 7 % with two standard errors of 1.1 % about it.
    assert 0.02 <= simulated.level(400, **drawn) <= 0.08
    assert 0.92 <= simulated.coverage(400, **drawn) <= 0.975

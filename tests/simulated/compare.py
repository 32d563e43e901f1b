"""Two settings whose mean set IoUs over concepts are equal, though at most concepts they differ."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.mean_differences import MeanDifferences, mean_differences
from net2vec_pl.analysis.pair_counts import PairCounts


def equal_means(
    rng: np.random.Generator,
    images: int,
    concepts: int = 12,
    bundle: int = 1,
    groups: int | None = None,
    larger: float = 1.0,
    crossing: float = 0.0,
) -> PairCounts:
    """Draw images on which two settings do equally well on average over concepts.

    An image, and a film, is easy or hard for a setting in all its concepts. Of every two concepts
    one setting is better at the first and the other at the second, by the same.

    Args:
        rng: Source of chance.
        images: How many.
        concepts: How many, an even number.
        bundle: So many concepts lie in the same images and have the same pixels.
        groups: Films, of any length; none if absent.
        larger: The first setting's unions are so many times larger, and its intersections too.
        crossing: By how much settings differ at a concept, in logits.
    """
    present = np.repeat(rng.random((images, concepts // bundle)) < 0.5, bundle, axis=1)
    image, concept = np.nonzero(present)
    group = None if groups is None else rng.integers(groups, size=images)
    ease, own = 0.3 * rng.normal(size=images), 0.5 * rng.normal(size=(2, images))
    if group is not None and groups is not None:
        ease += (0.3 * rng.normal(size=groups))[group]
        own += (0.4 * rng.normal(size=(2, groups)))[:, group]
    pixels = np.repeat(rng.gamma(2.0, 200.0, size=(images, concepts // bundle)), bundle, axis=1)
    level = np.repeat(np.linspace(-1.0, 0.0, concepts // 2), 2)[concept]
    turn = np.where(concept % 2 == 0, crossing, -crossing)
    counted = []
    for s, (scale, side) in enumerate(((larger, 1), (1.0, -1))):
        logit = level + side * turn + ease[image] + own[s][image]
        share = 1 / (1 + np.exp(-logit - 0.3 * rng.normal(size=len(image))))
        noise = rng.gamma(8.0, 1 / 8.0, size=len(image))
        union = np.ceil(scale * (pixels[image, concept] * noise + 10)).astype(np.int64)
        inside = (union * share + rng.random(len(union))).astype(np.int64)
        counted.append(np.stack([np.minimum(inside, union), union]))
    of_pairs = None if group is None else group[image]
    return PairCounts(image, concept, counted[0], counted[1], concepts, of_pairs)


def compared(counts: PairCounts, permutations: int = 999, seed: int = 0) -> MeanDifferences:
    """Compare the means of the two methods as two settings."""
    found, every = SetIouIntervals(counts), np.ones(counts.num_concepts, dtype=bool)
    parts = [found.parts(which, every) for which in (0, 1)]
    return mean_differences(parts, permutations, seed=seed)


def level(times: int, **drawn: Any) -> float:
    """Return how often p is at most 0.05."""
    rng = np.random.default_rng(1)
    p = [compared(equal_means(rng, **drawn), seed=i).p[0] for i in range(times)]
    return float(np.mean(np.array(p) <= 0.05))


def coverage(times: int, **drawn: Any) -> float:
    """Return how often the interval of the difference holds 0."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(times):
        found = compared(equal_means(rng, **drawn), permutations=1)
        held += bool(found.low[0] <= 0 <= found.high[0])
    return held / times


_DRAWN: dict[str, dict[str, Any]] = {
    "30 images": {"images": 30},
    "100 images, unions 4 times larger, crossing": {"images": 100, "larger": 4.0, "crossing": 0.8},
    "100 images, bundles of three": {"images": 100, "bundle": 3},
    "8 films, bundles of three": {"images": 100, "bundle": 3, "groups": 8},
    "20 films, unions 4 times larger": {"images": 200, "groups": 20, "larger": 4.0},
}
CASES: dict[str, Callable[[int], float]] = {
    f"{what}, difference of two settings, {name}": partial(measure, **drawn)
    for name, drawn in _DRAWN.items()
    for what, measure in (("level", level), ("coverage", coverage))
}

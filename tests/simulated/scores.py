"""Set IoU with its intervals, and the paired test, on pictures whose law is known.

A picture has a size (lognormal) and a share that each method gets right, which rises with the size.
Pictures of a film resemble each other, and so do concepts of a picture.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.paired_test import paired_test

CONCEPTS = 20
SIZE, RISES = 0.8, 0.3  # standard deviation of the log of sizes; how shares rise with it
_TRUTHS: dict[float, float] = {}


def pictures(
    rng: np.random.Generator,
    films: int,
    frames: int | Sequence[int] = 1,
    alike: float = 0.0,
    concepts: int = CONCEPTS,
    size: float = SIZE,
) -> PairCounts:
    """Draw pictures of some concepts; the second method marks twice as much, at equal set IoU.

    Args:
        rng: Random numbers.
        films: Films.
        frames: Pictures of a film, on average, or of each; 1 for single pictures.
        alike: Share of the variance that the pictures of a film have in common.
        concepts: Concepts, each in four of five pictures.
        size: Standard deviation of the log of sizes.
    """
    lengths = np.ones(films, np.int64) if frames == 1 else np.array(frames)
    if not lengths.shape:
        lengths = np.maximum(1, rng.poisson(frames * rng.uniform(0.5, 1.5, films)))
    film = np.repeat(np.arange(films), lengths)

    def varying(columns: int) -> np.ndarray:
        of_film = rng.normal(size=(films, columns))[film]
        of_picture = rng.normal(size=(len(film), columns))
        return np.asarray(alike**0.5 * of_film + (1 - alike) ** 0.5 * of_picture)

    large, easy = varying(concepts), 0.6 * varying(1) + 0.8 * varying(concepts)
    union = np.exp(size * large)
    chosen = rng.random(union.shape) < 0.8
    image, concept = np.nonzero(chosen)
    methods = []
    for marks in (1.0, 2.0):
        logit = -0.5 + RISES * large + 0.7 * easy + 0.4 * rng.normal(size=union.shape)
        right = union / (1 + np.exp(-logit))
        methods.append(marks * np.stack([right[chosen], union[chosen]]))
    group = None if frames == 1 else film[image]
    return PairCounts(image, concept, methods[0], methods[1], concepts, group)


def truth(size: float = SIZE) -> float:
    """Return the set IoU of either method over a million pictures."""
    if size not in _TRUTHS:
        many = pictures(np.random.default_rng(1), 1_000_000, concepts=1, size=size)
        _TRUTHS[size] = float(many.multi[0].sum() / many.multi[1].sum())
    return _TRUTHS[size]


def covered(
    runs: int, part: str, films: int, frames: int | Sequence[int] = 1, alike: float = 0.0
) -> float:
    """Share of intervals that hold the truth.

    Args:
        runs: Times that pictures are drawn.
        part: ``concept``, ``mean``, ``gain`` or ``mean gain``.
        films: Films.
        frames: Pictures of each.
        alike: What they have in common.
    """
    rng, held = np.random.default_rng([films, *np.atleast_1d(frames)]), []
    wanted = 0.0 if part.endswith("gain") else truth()
    for _ in range(max(runs // 5, 1) if part in ("concept", "gain") else runs):
        found = SetIouIntervals(pictures(rng, films, frames, alike))
        means = found.means()
        interval = {
            "concept": found.multi,
            "gain": found.gain,
            "mean": means.multi,
            "mean gain": means.gain,
        }[part]
        low, high = np.atleast_1d(interval.low), np.atleast_1d(interval.high)
        known = np.isfinite(low)
        held += ((low <= wanted) & (wanted <= high))[known].tolist()
    return float(np.mean(held))


def rejected(runs: int, films: int, frames: int | Sequence[int] = 1, alike: float = 0.0) -> float:
    """Share of concepts of equal set IoUs with p <= 0.05."""
    rng, found = np.random.default_rng([films, *np.atleast_1d(frames), 1]), []
    for seed in range(max(runs // 10, 1)):
        p = paired_test(pictures(rng, films, frames, alike), 1000, seed=seed).p
        found += (p[np.isfinite(p)] <= 0.05).tolist()
    return float(np.mean(found))


_DRAWS: dict[str, dict[str, Any]] = {
    "16 images": {"films": 16},
    "50 images": {"films": 50},
    "200 images": {"films": 200},
    "3 films of 40, alike by 0.35": {"films": 3, "frames": 40, "alike": 0.35},
    "films of 86, 31 and 17, alike by 0.35": {"films": 3, "frames": (86, 31, 17), "alike": 0.35},
    "4 films of 40, alike by 0.2": {"films": 4, "frames": 40, "alike": 0.2},
    "4 films of 40, alike by 0.5": {"films": 4, "frames": 40, "alike": 0.5},
    "10 films of 10, alike by 0.35": {"films": 10, "frames": 10, "alike": 0.35},
}
_PARTS = {
    "concept": "set IoU of a concept",
    "mean": "mean over concepts",
    "gain": "gain of a concept",
    "mean gain": "mean gain",
}
CASES: dict[str, Callable[[int], float]] = {
    **{
        f"coverage, {text}, {drawn}": partial(covered, part=part, **options)
        for part, text in _PARTS.items()
        for drawn, options in _DRAWS.items()
    },
    **{
        f"level, paired test, {drawn}": partial(rejected, **options)
        for drawn, options in _DRAWS.items()
        if options["films"] >= 6
    },
}

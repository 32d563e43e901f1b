"""How often intervals of selectivity and of what others leave hold the truth, on drawn pixels.

An image draws the size of its mask, and pixels of it that methods find and find falsely. Truths are
ratios of means over so many images that chance plays no part.
"""

from collections.abc import Callable

import numpy as np

from net2vec_pl.analysis.intervals import SetIouIntervals
from net2vec_pl.analysis.jackknife import Interval
from net2vec_pl.analysis.pair_counts import PairCounts
from net2vec_pl.analysis.partial import share_of_gain

_MANY = 1_000_000
Array = np.ndarray


def draw(rng: np.random.Generator, images: int) -> Array:
    """Draw intersection and union of three methods, the best first: (3, 2, images).

    Methods find the same easy images; sizes of masks differ tenfold and more.
    """
    size = rng.lognormal(6, 0.8, images)
    ease = rng.normal(0, 0.5, images)
    found = []
    for skill, false in ((0.6, 0.4), (-0.2, 0.7), (-0.8, 1.2)):
        hit = 1 / (1 + np.exp(-(skill + ease + rng.normal(0, 0.5, images))))
        extra = false * size * rng.gamma(4, 0.25, images)
        found.append(
            [np.floor(hit * size), np.floor(hit * size) + np.ceil((1 - hit) * size + extra)]
        )
    return np.array(found)


def _counts(pixels: Array, first: int, second: int) -> PairCounts:
    images = pixels.shape[2]
    zero = np.zeros(images, dtype=np.int64)
    return PairCounts(np.arange(images), zero, pixels[first], pixels[second], 1)


def _selectivity(pixels: Array) -> Interval:
    return SetIouIntervals(_counts(pixels, 0, 2)).gain


def _share(pixels: Array) -> Interval:
    return share_of_gain(_counts(pixels, 0, 1), _counts(pixels, 0, 2))


def _truth(kind: str) -> float:
    full, partial, level = np.divide(*draw(np.random.default_rng(1), _MANY).sum(2).T)
    return float((partial - level) / (full - level) if kind == "share" else full - level)


def _coverage(
    interval: Callable[[Array], Interval], kind: str, images: int
) -> Callable[[int], float]:
    def share_of_draws(repetitions: int) -> float:
        truth, rng = _truth(kind), np.random.default_rng(images)
        held = []
        for _ in range(repetitions):
            found = interval(draw(rng, images)).array().reshape(3)
            held.append(found[1] <= truth <= found[2])
        return float(np.mean(held))

    return share_of_draws


CASES: dict[str, Callable[[int], float]] = {
    "coverage, selectivity of a concept, 20 images": _coverage(_selectivity, "selectivity", 20),
    "coverage, selectivity of a concept, 100 images": _coverage(_selectivity, "selectivity", 100),
    "coverage, share of the gain that others leave, 30 images": _coverage(_share, "share", 30),
    "coverage, share of the gain that others leave, 100 images": _coverage(_share, "share", 100),
}

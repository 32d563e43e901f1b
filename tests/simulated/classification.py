"""Intervals of the mean gain in balanced accuracy, where the true gain is known."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from net2vec_pl.analysis.accuracy_gain import accuracy_gain
from net2vec_pl.analysis.jackknife import LEAST_GROUPS
from net2vec_pl.functional.balanced import BalancedSampler

CONCEPTS = 8


def drawn(
    rng: np.random.Generator, units: int, size: int, alike: float
) -> tuple[
    Float64[np.ndarray, "E"], Int64[np.ndarray, "E"], Bool[np.ndarray, "E"], Int64[np.ndarray, "E"]
]:
    """Draw images by unit and judge two classifiers on balanced sets of them.

    An image is easy or hard for all concepts, and so are, in part, the images of a unit.

    Args:
        rng: Random numbers.
        units: Units, groups or images.
        size: Images of each.
        alike: Variance that the images of a unit share.
    """
    unit = np.repeat(np.arange(units), size)
    shared = rng.normal(size=units)[unit] * np.sqrt(alike)
    mood = shared + rng.normal(size=len(unit)) * np.sqrt(1 - alike)
    bent = rng.normal(size=(len(unit), CONCEPTS)) + 0.7 * mood[:, None]
    present = bent > np.linspace(0, 1, CONCEPTS)
    examples = BalancedSampler(present, range(CONCEPTS), int(rng.integers(1 << 30))).draw()
    ease = mood[examples.image] + rng.normal(size=len(examples.image))
    right = [ease > -1.0 - 0.4 * examples.positive, ease + rng.normal(size=len(ease)) > -0.4]
    difference = right[0].astype(np.float64) - right[1]
    return difference, examples.concept(), examples.positive, unit[examples.image]


def coverage(repetitions: int, units: int, size: int, alike: float, seed: int) -> float:
    """Return how often the interval holds the gain, which is a mean over very many images."""
    rng = np.random.default_rng(seed)
    least = LEAST_GROUPS if size > 1 else 10
    many = [drawn(rng, 4000, size, alike) for _ in range(4)]
    truth = np.mean([accuracy_gain(*some).value for some in many])
    found = [
        accuracy_gain(*drawn(rng, units, size, alike), least=least) for _ in range(repetitions)
    ]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


CASES: dict[str, Callable[[int], float]] = {
    "coverage, gain in balanced accuracy, 60 images": lambda n: coverage(n, 60, 1, 0.0, 1),
    "coverage, gain in balanced accuracy, 300 images": lambda n: coverage(n, 300, 1, 0.0, 2),
    "coverage, gain in balanced accuracy, 4 groups": lambda n: coverage(n, 4, 40, 0.3, 3),
    "coverage, gain in balanced accuracy, 12 groups": lambda n: coverage(n, 12, 25, 0.3, 4),
}

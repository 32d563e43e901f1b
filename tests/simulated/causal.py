"""Coverage of intervals of changes, and levels of places among random directions."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from net2vec_pl.analysis.causal import image_means, over_images, placed
from net2vec_pl.analysis.erasure import Erasure

_RANDOM = 50
_FILTERS = 24


def covered_by_images(runs: int, n: int, sigma: float) -> float:
    """Share of intervals that hold the mean of n lognormal changes; normal ones for sigma 0."""
    rng, held = np.random.default_rng([1, n]), 0
    truth = np.exp(sigma**2 / 2) if sigma else 0.0
    for _ in range(runs):
        values = rng.lognormal(0, sigma, (n, 1)) if sigma else rng.normal(size=(n, 1))
        found = over_images(values)
        held += bool(found.low <= truth <= found.high)
    return held / runs


def covered_by_groups(runs: int, num_groups: int, sigma: float) -> float:
    """The same of images in films: each adds to its film's normal level a lognormal part."""
    rng, held = np.random.default_rng([2, num_groups]), 0
    spread = np.sqrt(np.exp(sigma**2) * (np.exp(sigma**2) - 1))
    groups = np.repeat(np.arange(num_groups), 6)
    for _ in range(runs):
        level = 0.7 * spread * rng.normal(size=num_groups)
        values = rng.lognormal(0, sigma, len(groups)) + level[groups]
        found = over_images(values[:, None], groups)
        held += bool(found.low <= np.exp(sigma**2 / 2) <= found.high)
    return held / runs


def covered_over_concepts(runs: int, n: int) -> float:
    """The same of a mean over six concepts, each in some of the images."""
    rng, held = np.random.default_rng([3, n]), 0
    for _ in range(runs):
        values = 0.6 * rng.lognormal(0, 0.7, (n, 1)) + rng.lognormal(0, 0.7, (n, 6))
        values[rng.random(values.shape) > 0.75] = np.nan
        found = over_images(values)
        held += bool(found.low <= 1.6 * np.exp(0.7**2 / 2) <= found.high)
    return held / runs


def _network(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a layer gives in images of a concept, and how a class reads it.

    The concept drives the class: activations of its images lie where the class reads them.
    """
    reads = rng.normal(size=_FILTERS)
    lies = rng.normal(size=_FILTERS) + reads
    maps = rng.normal(size=(12, _FILTERS, 3, 3)) + lies[:, None, None]
    return torch.from_numpy(maps), torch.from_numpy(reads)


def _directions(rng: np.random.Generator) -> torch.Tensor:
    rows = torch.from_numpy(rng.normal(size=(1 + _RANDOM, _FILTERS)))
    unit: torch.Tensor = torch.nn.functional.normalize(rows, dim=1)
    return unit


def level_of_ablation(runs: int) -> float:
    """Share of random directions that lower the class further than 95 % of others (p <= .05)."""
    rng, rejected = np.random.default_rng(4), 0
    for _ in range(runs):
        maps, reads = _network(rng)
        centre = torch.zeros(_FILTERS, dtype=torch.float64)
        first, *others = _directions(rng)
        erasures = [Erasure(first, direction, centre) for direction in (first, *others)]
        before = torch.tanh(maps).sum((0, 2, 3)) @ reads
        drops = [float(before - torch.tanh(e(maps)).sum((0, 2, 3)) @ reads) for e in erasures]
        rejected += placed(drops[0], np.array(drops[1:])) <= 0.05
    return rejected / runs


def level_of_slopes(runs: int) -> float:
    """Share of random directions with a slope further from 0 than 95 % of others (p <= .05)."""
    rng, rejected = np.random.default_rng(5), 0
    for _ in range(runs):
        maps, reads = _network(rng)
        slope = (1 - torch.tanh(maps) ** 2).sum((2, 3)) * reads
        means = np.abs(image_means((_directions(rng) @ slope.T).numpy()))
        rejected += placed(means[0], means[1:]) <= 0.05
    return rejected / runs


CASES: dict[str, Callable[[int], float]] = {
    **{
        f"coverage, change over {n} images, {f'lognormal {s:g}' if s else 'normal'}": partial(
            covered_by_images, n=n, sigma=s
        )
        for n in (12, 16, 24, 50)
        for s in (0.0, 0.5, 1.0)
    },
    **{
        f"coverage, change over {g} groups, lognormal {s:g}": partial(
            covered_by_groups, num_groups=g, sigma=s
        )
        for g in (4, 5, 6)
        for s in (0.5, 1.0)
    },
    "coverage, change over 24 images, mean over 6 concepts": partial(covered_over_concepts, n=24),
    "level, ablation, a random direction among 50": level_of_ablation,
    "level, slope, a random direction among 50": level_of_slopes,
}

"""Filters in common, where filters differ in popularity and concepts choose for themselves."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64

from net2vec_pl.analysis.overlap import FDR, overlap

FILTERS, CHOSEN, CONCEPTS = 64, 8, 30


def popularity(kinds: int = 1) -> Float64[np.ndarray, "T K"]:
    """Return how likely filters are to be chosen, as by Zipf; each kind of concept in its order."""
    rng = np.random.default_rng(0)
    zipf = 1 / np.arange(1, FILTERS + 1)
    return np.stack([zipf, *(rng.permutation(zipf) for _ in range(kinds - 1))])


def choices(
    num: int, likely: Float64[np.ndarray, "T K"], rng: np.random.Generator
) -> Bool[np.ndarray, "C K"]:
    """Let concepts of random kinds choose filters, one after the other by what is likely."""
    kind = rng.integers(len(likely), size=num)
    key = np.log(likely[kind]) + rng.gumbel(size=(num, FILTERS))  # the largest are such a choice
    return np.argsort(np.argsort(-key, axis=1), axis=1) < CHOSEN


def popular_level(what: str, times: int) -> float:
    """Return how often anything is found where concepts choose by popularity alone."""
    rng, found = np.random.default_rng(1), 0
    for seed in range(times):
        common = overlap(choices(CONCEPTS, popularity(), rng), 99, seed)
        above = np.triu_indices(CONCEPTS, 1)
        any_pair = bool((common.p_fdr[above] <= FDR).any())
        found += {"variance": common.p_variance <= 0.05, "pairs": any_pair}[what]
    return found / times


def mean_coverage(kinds: int, num: int, times: int) -> float:
    """Return how often the interval of the mean holds that of all concepts there could be."""
    rng, likely = np.random.default_rng(2), popularity(kinds)
    of_kind = np.array([choices(40_000, row[None], rng).mean(axis=0) for row in likely])
    truth = (of_kind.mean(axis=0) ** 2).sum()  # of two concepts that choose independently
    held = 0
    for _ in range(times):
        _, low, high = overlap(choices(num, likely, rng), 1).mean
        held += bool(low <= truth <= high)
    return held / times


CASES: dict[str, Callable[[int], float]] = {
    "level, overlap of filters between pairs, popularity by Zipf": partial(
        popular_level, "variance"
    ),
    "coverage, mean overlap of filters, one kind of 30 concepts": partial(mean_coverage, 1, 30),
    "coverage, mean overlap of filters, four kinds of 100 concepts": partial(mean_coverage, 4, 100),
}

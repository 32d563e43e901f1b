"""How often the tests of the space of embeddings reject where nothing is to be found."""

from collections.abc import Callable

import numpy as np
from support.embeddings import bank

from net2vec_pl.analysis.clusters import agreement, k_means
from net2vec_pl.analysis.comparison import (
    Score,
    linear_cka,
    neighbour_overlap,
    representational_similarity,
)
from net2vec_pl.analysis.neighbourhood import category_matrix

CONCEPTS, FILTERS, CATEGORIES, PERMUTATIONS = 40, 8, 4, 99


def one_filter(seed: int, filters: int = FILTERS) -> np.ndarray:
    """Draw a best filter for every concept: embeddings full of ties."""
    return np.eye(filters)[np.random.default_rng(seed).integers(filters, size=CONCEPTS)]


def shuffled(seed: int) -> np.ndarray:
    """Deal categories of four sizes to the concepts."""
    sizes = [4, 8, 12, 16]
    return np.random.default_rng(10_000 + seed).permutation(np.repeat(range(CATEGORIES), sizes))


def embeddings(seed: int) -> np.ndarray:
    return bank(CONCEPTS, 16, seed)


def alike(
    measure: Callable[..., Score], vectors: Callable[[int], np.ndarray]
) -> Callable[[int], float]:
    """Compare unrelated vectors with categories, which tie too."""

    def p(seed: int) -> float:
        kinds = np.eye(CATEGORIES)[shuffled(seed)]
        return measure(vectors(seed), kinds, permutations=PERMUTATIONS, seed=seed).p

    return p


def kept_together(vectors: Callable[[int], np.ndarray]) -> Callable[[int], float]:
    return lambda seed: (
        category_matrix(vectors(seed), [*map(str, shuffled(seed))], 5, PERMUTATIONS, seed).p
    )


def clustered(seed: int) -> float:
    label = k_means(embeddings(seed), seed=seed).label
    return agreement(label, [*map(str, shuffled(seed))], 39, seed).p  # each takes a millisecond


def level(p: Callable[[int], float]) -> Callable[[int], float]:
    """Return what counts how often p is at most 0.05 in a number of repetitions."""
    return lambda times: float(np.mean([p(seed) <= 0.05 for seed in range(times)]))


CASES: dict[str, Callable[[int], float]] = {
    "level, shared nearest concepts, best filters and categories": level(
        alike(neighbour_overlap, one_filter)
    ),
    "level, shared nearest concepts, embeddings and categories": level(
        alike(neighbour_overlap, embeddings)
    ),
    "level, Spearman of cosines, best filters and categories": level(
        alike(representational_similarity, one_filter)
    ),
    "level, Spearman of cosines, embeddings and categories": level(
        alike(representational_similarity, embeddings)
    ),
    "level, linear CKA, best filters and categories": level(alike(linear_cka, one_filter)),
    "level, nearest concepts of the same category, best filters": level(kept_together(one_filter)),
    "level, nearest concepts of the same category, embeddings": level(kept_together(embeddings)),
    "level, clusters and categories, embeddings": level(clustered),
}

"""Counts of two methods on pairs of images and concepts, made up."""

import numpy as np

from net2vec_pl.analysis.pair_counts import PairCounts


def make(rows: list[tuple[int, int, float, float, float, float]], num_concepts: int) -> PairCounts:
    """Rows of image, concept, and intersection and union of several and of single."""
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6).T
    image, concept = columns[:2].astype(np.int64)
    return PairCounts(image, concept, columns[2:4], columns[4:], num_concepts)


def random_counts(
    n_images: int, num_concepts: int, seed: int = 0, better: float = 0.0, present: float = 0.6
) -> PairCounts:
    """Two methods of the same noise; several's intersections may be larger by a share."""
    rng = np.random.default_rng(seed)
    image, concept = np.nonzero(rng.random((n_images, num_concepts)) < present)
    union = rng.integers(50, 100, size=(2, len(image)))
    share = rng.random((2, len(image))) * 0.5 + np.array([[better], [0.0]])
    inter = (union * share).astype(np.int64)
    order = rng.permutation(len(image))  # pairs come in any order
    several, single = np.stack([inter, union], axis=1)[..., order]
    return PairCounts(image[order] * 7 + 3, concept[order], several, single, num_concepts)


def wilson(hits: int, n: int, z: float) -> list[float]:
    """Return a share and Wilson's bounds, from the formula."""
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return [share, middle - reach, middle + reach]

"""Many settings beside one another, once more: slow and literal."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Values = npt.NDArray[np.float64]
REPLICATES, FLIPS = 1000, 10_000


@cache
def _draws(count: int) -> npt.NDArray[np.int64]:
    """Return how often each concept is in each resample."""
    chances = [1 / count] * count
    return np.random.default_rng(0).multinomial(count, chances, size=REPLICATES)


def interval(values: Values) -> tuple[float, float]:
    """Take the 2.5th and 97.5th percentile of the mean over resampled concepts."""
    means = [float(draw @ values) / len(values) for draw in _draws(len(values))]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def flip_p(first: Values, second: Values) -> float:
    """Flip the signs of the differences of random concepts, 10,000 times."""
    difference = first - second
    observed = abs(float(difference.mean()))
    signs = np.random.default_rng(0).integers(2, size=(FLIPS, len(difference))) * 2 - 1
    means = [float(sign @ difference) / len(difference) for sign in signs]
    reached = sum(abs(mean) >= observed - 1e-12 for mean in means)
    return (1 + reached) / (1 + FLIPS)


def benjamini_hochberg(p: list[float]) -> list[float]:
    """Correct p-values: at rank r, the least p m / r of that rank or a higher one."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected = [0.0] * len(p)
    least = 1.0
    for rank in range(len(p), 0, -1):
        at = order[rank - 1]
        least = min(least, p[at] * len(p) / rank)
        corrected[at] = least
    return corrected


def wilson(won: int, count: int) -> tuple[float, float]:
    """Bound a share by Wilson's interval."""
    z, share = 1.959963984540054, won / count
    middle = share + z**2 / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    whole = 1 + z**2 / count
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


# -------------------- embeddings


def _cosines(weight: Values) -> Values:
    rows = [row / math.sqrt(sum(x * x for x in row)) for row in weight]
    return np.array([[float(np.dot(a, b)) for b in rows] for a in rows])


def _ranks(cosine: Values) -> Values:
    """Rank the cosines of distinct concepts, centred; nothing on the diagonal."""
    upper = np.triu_indices(len(cosine), 1)
    ranks = rankdata(cosine[upper])
    square = np.zeros_like(cosine)
    square[upper] = ranks - ranks.mean()
    return square + square.T


def _centred(cosine: Values) -> Values:
    count = len(cosine)
    h = np.eye(count) - np.ones((count, count)) / count
    return np.asarray(h @ cosine @ h)


def _neighbours(k: int) -> Callable[[Values], Values]:
    """Count a neighbour by its chance: those that tie share the places that are left."""

    def near(cosine: Values) -> Values:
        chance, most = np.zeros_like(cosine), max(1, min(k, (len(cosine) - 1) // 3))
        for c, row in enumerate(cosine.round(12)):
            others = [i for i in range(len(cosine)) if i != c]
            for i in others:
                nearer = sum(row[j] > row[i] for j in others)
                tied = sum(row[j] == row[i] for j in others)
                chance[c, i] = min(max(most - nearer, 0) / tied, 1)
        return chance

    return near


def forms(k: int = 5) -> dict[str, Callable[[Values], Values]]:
    """Return what each measure compares of two embeddings, by its name."""
    return {
        "distance": lambda cosine: cosine,
        "correlation": _ranks,
        "cka": _centred,
        "overlap": _neighbours(k),
    }


def score(name: str, a: Values, b: Values) -> float:
    """Compare two squares: by their squared distance, the share in common, or their cosine."""
    if name == "distance":
        return float(((a - b) ** 2).sum())
    return float((a * b).sum()) / _most(name, a, b)


def _most(name: str, a: Values, b: Values) -> float:
    """Return what the inner product of two squares is divided by."""
    if name == "overlap":
        return float(a.sum())  # places of neighbours
    return math.sqrt((a**2).sum() * (b**2).sum())


def measures(
    first: Values, second: Values, permutations: int, k: int = 5
) -> dict[str, tuple[float, float, float]]:
    """Return value, chance and p of every measure of two embeddings of the same concepts.

    Over all permutations, a cell beside the diagonal falls upon every such cell equally often.
    """
    found = {}
    for name, form in forms(k).items():
        a, b = form(_cosines(first)), form(_cosines(second))
        count = len(a)
        mean = np.full((count, count), (b.sum() - np.trace(b)) / (count * (count - 1)))
        np.fill_diagonal(mean, np.trace(b) / count)
        inner = float((a * mean).sum())
        squared = float((a**2).sum()), float((b**2).sum())
        chance = sum(squared) - 2 * inner if name == "distance" else inner / _most(name, a, b)
        rng, reached = np.random.default_rng(0), 0
        observed, scale = float((a * b).sum()), math.sqrt(squared[0] * squared[1])
        for _ in range(permutations):
            order = rng.permutation(count)
            reached += float((a * b[np.ix_(order, order)]).sum()) >= observed - 1e-9 * scale
        found[name] = (score(name, a, b), chance, (1 + reached) / (1 + permutations))
    return found

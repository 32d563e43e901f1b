"""Many settings beside one another, once more: slow and literal."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from support.jackknifed import jackknifed

Values = npt.NDArray[np.float64]
NAN = float("nan")


@dataclass(frozen=True)
class Settings:
    """The mean over concepts of one setting, and the same without each unit.

    Args:
        value: The mean.
        without: The mean without each image, or group.
        weight: What each of these has of the unions, summed over concepts.
    """

    value: float
    without: list[float]
    weight: list[float]


def without_each(
    tables: Sequence[Mapping[str, Values]], names: Sequence[str], groups: int
) -> Settings:
    """Average set IoUs over concepts and seeds, of all images and without each unit.

    Args:
        tables: Of each seed: concept -> intersection and union by image.
        names: The concepts.
        groups: Image i is of group i modulo this; each is its own if 0.
    """
    images = len(next(iter(tables[0].values()))[0])
    units = groups or images

    def of(unit: int) -> tuple[float, float]:
        """Return the mean without a unit, and the share of the unit in the unions."""
        kept = [i for i in range(images) if i % units != unit]
        left = [i for i in range(images) if i % units == unit]
        scores, shares = [], []
        for table in tables:
            for name in names:
                inside, union = table[name]
                scores.append(sum(inside[i] for i in kept) / sum(union[i] for i in kept))
                shares.append(sum(union[i] for i in left) / sum(union))
        return float(np.mean(scores)), float(np.sum(shares)) / len(tables)

    every = [of(unit) for unit in range(units)]
    return Settings(of(-1)[0], [mean for mean, _ in every], [share for _, share in every])


def less(one: Settings, other: Settings) -> Settings:
    """Subtract one setting from another."""
    return Settings(
        one.value - other.value,
        [a - b for a, b in zip(one.without, other.without, strict=True)],
        [(a + b) / 2 for a, b in zip(one.weight, other.weight, strict=True)],
    )


def interval(of: Settings, share: bool) -> tuple[float, float]:
    """Bound a mean by the jackknife, on the scale of logits if it is a share."""
    return jackknifed(of.value, of.without, of.weight, share=share, skewed=share)


def swap_p(difference: Settings) -> float:
    """Give every unit's pseudo-value either sign, in every way."""
    n = len(difference.without)
    z = np.array([n * difference.value - (n - 1) * x for x in difference.without])
    reached = [
        abs(float(np.dot(signs, z))) >= abs(z.sum()) * (1 - 1e-9)
        for signs in itertools.product((-1, 1), repeat=n)
    ]
    return float(np.mean(reached))


def quartile(values: Sequence[float], at: float) -> float:
    """Return the value that is nearest to a share of the way through the sorted ones."""
    return sorted(values)[round(at * (len(values) - 1))]


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

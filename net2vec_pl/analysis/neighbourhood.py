"""Who lives beside whom: the nearest concepts of each, as a test can use them.

Where several concepts are equally near, an order of the bank that chooses among them would make
concepts that stand side by side look alike. So ties are shared out: a concept is among the nearest
by the chance that it has if ties are broken at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.space import cosines, unit_rows
from net2vec_pl.errors import ConfigError

FEWEST = 3  # concepts, for neighbours to mean anything
ALL_ALIKE = "all cosines are equal"


def neighbourhood_size(k: int, concepts: int) -> int:
    """Return how many neighbours a test looks at: k, but at most a third of the other concepts.

    If all others are neighbours, every embedding has the same ones.

    Args:
        k: Neighbours asked for.
        concepts: How many there are.

    Returns:
        At least 1.

    Raises:
        ConfigError: If k is below 1.

    Example:
        >>> neighbourhood_size(5, 21), neighbourhood_size(5, 8), neighbourhood_size(5, 3)
        (5, 2, 1)
    """
    if k < 1:
        raise ConfigError(f"k={k}: at least 1 neighbour must be asked for.")
    return max(min(k, (concepts - 1) // 3), 1)


def among_nearest(cosine: Float64[np.ndarray, "V V"], k: int) -> Float64[np.ndarray, "V V"]:
    """Compute every concept's chance to be among the k nearest of each, ties broken at random.

    Those nearer than the k-th have 1, those as near as it share the places that are left.

    Args:
        cosine: Cosines of at least k + 1 concepts; what is equal must be so to the last bit.
        k: Neighbours.

    Returns:
        In [0, 1], rows summing to k, the diagonal 0.

    Example:
        >>> among_nearest(np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.9], [0.5, 0.9, 1.0]]), 1)
        array([[0. , 0.5, 0.5],
               [0. , 0. , 1. ],
               [0. , 1. , 0. ]])
    """
    others = cosine.copy()
    np.fill_diagonal(others, -np.inf)
    last = np.partition(others, -k, axis=1)[:, -k, None]
    nearer, tied = others > last, others == last
    places = k - nearer.sum(axis=1, keepdims=True)
    chance: Float64[np.ndarray, "V V"] = nearer + tied * (places / tied.sum(axis=1, keepdims=True))
    return chance


def all_alike(cosine: Float64[np.ndarray, "V V"]) -> bool:
    """Return whether all pairs of concepts have the same cosine: permuting them changes nothing."""
    return bool(np.ptp(cosine[~np.eye(len(cosine), dtype=bool)]) < 1e-9)


@dataclass(frozen=True)
class CategoryMatrix:
    """Which categories the neighbours of a category's concepts belong to.

    Args:
        categories: Names of rows and columns, in order of appearance.
        count: Concepts of each that have a direction.
        share: Share of the column's category among the nearest concepts of one of the row's
            category, averaged over the row's concepts. Rows sum to 1; NaN for an empty category.
        chance: The column's share among all other concepts.
        diagonal: Mean of the diagonal of ``share``, over categories that have concepts.
        chance_diagonal: The same of ``chance``.
        p: Share of permuted labellings whose mean diagonal is as high.
        permutations: Labellings drawn for it.
        k: Neighbours looked at.
        reason: Why there is nothing to report; empty if there is.
    """

    categories: tuple[str, ...]
    count: Int64[np.ndarray, "M"]
    share: Float64[np.ndarray, "M M"]
    chance: Float64[np.ndarray, "M M"]
    diagonal: float
    chance_diagonal: float
    p: float
    permutations: int
    k: int
    reason: str


def category_matrix(
    weight: Float[np.ndarray, "C K"],
    categories: Sequence[str],
    k: int = 5,
    permutations: int = 1000,
    seed: int = 0,
) -> CategoryMatrix:
    """Average the categories of the k nearest concepts, by category of the concept.

    Labels are permuted between concepts while neighbours stay: p tells whether categories keep
    together more than labels dealt at random would. Ties are shared out.

    Args:
        weight: A bank.
        categories: Category of each of the C concepts.
        k: Neighbours to look at; see :func:`neighbourhood_size`.
        permutations: Labellings to draw.
        seed: Seed of the draw.

    Returns:
        NaN with a reason where fewer than 3 concepts have a direction, or where the categories or
        cosines are such that every labelling would give the same.

    Raises:
        ConfigError: If k is below 1.
    """
    if len(categories) != len(weight):
        raise ValueError(f"{len(categories)} categories for {len(weight)} embeddings")
    units = unit_rows(weight)
    known = tuple(dict.fromkeys(categories))
    labels = np.array([known.index(c) for c in categories], dtype=np.int64)[units.index]
    count = np.bincount(labels, minlength=len(known)).astype(np.int64)
    cosine, k = cosines(units.rows), neighbourhood_size(k, len(labels))
    reason = _nothing_to_keep_together(count) or (ALL_ALIKE if all_alike(cosine) else "")
    if reason:
        nothing = np.full((len(known), len(known)), np.nan)
        return CategoryMatrix(known, count, nothing, nothing, np.nan, np.nan, np.nan, 0, k, reason)
    near = among_nearest(cosine, k) / k
    member = np.eye(len(known))[labels]
    with np.errstate(invalid="ignore"):  # 0 / 0 of an empty category
        share = (member.T @ near @ member) / count[:, None]
    chance = (count[None, :] - np.eye(len(known))) / (len(labels) - 1)
    chance[count == 0] = np.nan
    draw = np.random.default_rng(seed)
    orders = (draw.permutation(labels) for _ in range(permutations))
    observed, *permuted = _mean_diagonals([labels, *orders], near)
    p = p_value(observed, np.array(permuted))
    expected = float(np.nanmean(np.diag(chance)))
    return CategoryMatrix(known, count, share, chance, observed, expected, p, permutations, k, "")


def _nothing_to_keep_together(count: Int64[np.ndarray, "M"]) -> str:
    if count.sum() < FEWEST:
        return f"{count.sum()} concepts have a direction, {FEWEST} are needed"
    if (count > 0).sum() < 2:
        return "all concepts are of one category"
    return "" if count.max() > 1 else "every concept has a category of its own"


def _mean_diagonals(
    labellings: Sequence[Int64[np.ndarray, "V"]], near: Float64[np.ndarray, "V V"]
) -> list[float]:
    """Average the share of a concept's own category, over categories."""
    row, column = np.nonzero(near)
    value, count = near[row, column], np.bincount(labellings[0])
    weight = 1 / np.maximum(count, 1) / (count > 0).sum()
    means = []
    for labels in labellings:
        of = labels[row]
        means.append(float((value * weight[of])[of == labels[column]].sum()))
    return means

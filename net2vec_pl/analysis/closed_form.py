r"""What sums over train images answer without an epoch: choices of filters, directions, chance.

All of it is of Fisher's discriminant (LDA), :math:`w = \Sigma^{-1} d`, with :math:`d` the mean of
the filters inside a concept less the mean outside of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.random import Generator
from torch import Tensor

from net2vec_pl.analysis.jackknife import LEAST_GROUPS, Interval, effective_number, jackknife

_CONCEPTS = 64  # at a time: a factor of each is K x K
_ROUNDING = 1e-10


def forward_order(
    covariance: Float64[Tensor, "K K"], difference: Float64[Tensor, "C K"]
) -> Int64[Tensor, "C K"]:
    r"""Order the filters of each concept by forward selection.

    Each step adds the filter j that raises :math:`d_F' \Sigma_{FF}^{-1} d_F` most, the squared
    distance of inside and outside along the best direction over the chosen filters F: it is that
    of largest :math:`d_{j \cdot F}^2 / \Sigma_{jj \cdot F}`, both given F. The factor of Cholesky
    grows by a column a step, so no system is solved. Known as orthogonal least squares (Chen,
    Billings & Luo 1989); orthogonal matching pursuit leaves out the variance (Pati, Rezaiifar &
    Krishnaprasad 1993).

    Args:
        covariance: Of the filters.
        difference: Mean inside of each concept less the mean outside.

    Returns:
        The filters, the first chosen first; the lower index first on ties.

    Example:
        >>> covariance = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
        >>> forward_order(covariance.double(), torch.tensor([[1.0, 0.9, 0.5]]).double()).tolist()
        [[0, 2, 1]]
    """
    chunks = range(0, len(difference), _CONCEPTS)
    return torch.cat([_forward(covariance, difference[i : i + _CONCEPTS]) for i in chunks])


def _forward(
    covariance: Float64[Tensor, "K K"], difference: Float64[Tensor, "C K"]
) -> Int64[Tensor, "C K"]:
    (num_concepts, size), each = difference.shape, torch.arange(len(difference))
    given = difference.clone()  # the difference of the means, given the filters chosen so far
    variance = covariance.diagonal().repeat(num_concepts, 1)
    least = float(variance.max()) * _ROUNDING
    factor = torch.zeros(num_concepts, size, size, dtype=torch.float64)
    order = torch.empty(num_concepts, size, dtype=torch.int64)
    free = torch.ones(num_concepts, size, dtype=torch.bool)
    for step in range(size):
        gain = torch.where(variance > least, given**2 / variance.clamp(min=least), 0.0)
        best = torch.where(free, gain, -1.0).argmax(1)
        known = factor[:, :step]
        here = known[each, :, best][:, None]
        column = covariance[best] - (here @ known)[:, 0]
        pivot = variance[each, best].clamp(min=least).sqrt()[:, None]
        # Nothing is left to say of a filter that the chosen ones determine.
        column = torch.where(variance[each, best, None] > least, column / pivot, 0.0)
        given = given - column * (given[each, best, None] / pivot)
        variance = variance - column**2
        factor[:, step], order[:, step], free[each, best] = column, best, False
    return order


def largest_order(
    weight: Float64[Tensor, "C K"], spread: Float64[Tensor, "K"]
) -> Int64[Tensor, "C K"]:
    """Order the filters of each concept by weight times spread, the largest first.

    Example:
        >>> weight = torch.tensor([[1.0, -3.0, 2.0]]).double()
        >>> largest_order(weight, torch.ones(3).double()).tolist()
        [[1, 2, 0]]
    """
    return (weight * spread).abs().argsort(dim=1, descending=True, stable=True)


def nested_weights(
    covariance: Float64[Tensor, "K K"],
    difference: Float64[Tensor, "C K"],
    order: Int64[Tensor, "C K"],
    sizes: Sequence[int],
) -> Float64[Tensor, "S C K"]:
    r"""Return :math:`w_F = \Sigma_{FF}^{-1} d_F` over the first F filters of an order.

    Cholesky's factor over the first F filters is the corner of the factor over all, so one factor
    of each concept serves every F.

    Args:
        covariance: Of the filters, positive definite.
        difference: Mean inside of each concept less the mean outside.
        order: The filters of each concept.
        sizes: Numbers of filters, F.

    Returns:
        Embeddings over all filters; those after the first F weigh 0.
    """
    weight = torch.zeros(len(sizes), *difference.shape, dtype=torch.float64)
    for c, mine in enumerate(order):
        factor = torch.linalg.cholesky(covariance[mine][:, mine])
        half = torch.linalg.solve_triangular(factor, difference[c, mine, None], upper=False)
        for row, size in enumerate(sizes):
            corner = factor[:size, :size].T
            solved = torch.linalg.solve_triangular(corner, half[:size], upper=True)
            weight[row, c, mine[:size]] = solved[:, 0]
    return weight


def fold_choices(folds: Sequence[int], draws: int, rng: Generator) -> list[tuple[int, ...]]:
    """Choose 1, 2, 4, ... folds at random, several times each, and all of them once.

    Args:
        folds: The folds that have images.
        draws: Choices of each number of folds.
        rng: Source of the draws.

    Example:
        >>> fold_choices([0, 2, 3], 1, np.random.default_rng(0))[-1]
        (0, 2, 3)
    """
    count = len(folds)
    sizes = [2**power for power in range(count.bit_length()) if 2**power < count]
    chosen = [
        tuple(sorted(rng.choice(folds, size, replace=False).tolist()))
        for size in sizes
        for _ in range(draws)
    ]
    return [*chosen, tuple(folds)]


@dataclass(frozen=True)
class LearningCurve:
    """Scores from ever more folds of the train images.

    Args:
        folds: Numbers of folds, rising; the last is all of them.
        mean: Mean over the choices of as many folds.
        spread: Standard deviation over them (ddof 1); NaN where there is only one.
        of_mean: The same of the mean over concepts.
        choices: How many choices there are.
    """

    folds: Int64[np.ndarray, "S"]
    mean: Float64[np.ndarray, "S C"]
    spread: Float64[np.ndarray, "S C"]
    of_mean: Float64[np.ndarray, "S"]
    choices: Int64[np.ndarray, "S"]


def learning_curve(
    scores: Float64[np.ndarray, "B C"], choices: Sequence[Sequence[int]]
) -> LearningCurve:
    """Average over choices of equally many folds.

    Args:
        scores: A score of every concept from each choice.
        choices: The folds of each.
    """
    size = np.array([len(choice) for choice in choices])
    folds = np.unique(size)
    groups = [scores[size == number] for number in folds]

    def spread(rows: Float64[np.ndarray, "n *C"]) -> Float64[np.ndarray, "*C"]:
        one = len(rows) < 2
        return np.full(rows.shape[1:], np.nan) if one else np.asarray(rows.std(0, ddof=1))

    return LearningCurve(
        folds,
        np.stack([rows.mean(0) for rows in groups]),
        np.stack([spread(rows) for rows in groups]),
        np.array([spread(np.nan_to_num(rows).mean(1)) for rows in groups], dtype=np.float64),
        np.array([len(rows) for rows in groups]),
    )


def unit_rows(rows: Float64[np.ndarray, "*B C K"]) -> Float64[np.ndarray, "*B C K"]:
    """Bring vectors to length 1; NaN where one has no direction."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit = np.full(rows.shape, np.nan)
    np.divide(rows, length, out=unit, where=length > 0)
    return unit


def direction_agreement(without: Float64[np.ndarray, "F C K"]) -> Float64[np.ndarray, "C"]:
    r"""Estimate the cosine between a vector from these train images and one from as many others.

    Unit vectors of independent training sets have a mean cosine of :math:`1 - tr\,Var(u)`, and the
    delete-one jackknife estimates that variance:

    .. math:: 1 - \frac{F - 1}{F} \sum_f |u_{-f} - \bar u|^2

    Resamples with replacement share folds, and with them their error: their cosines are too high
    (.85 where .79 is true: 100 images, 100 filters). This estimate errs to the low side where
    images are few for the number of filters (.76 there). See ``tests/simulated/needed.py``.

    Args:
        without: The vector of each concept without each of F folds.

    Returns:
        Cosines in [0, 1]; NaN for a concept that lacks a direction without some fold.
    """
    unit, count = unit_rows(without), len(without)
    variance = (count - 1) / count * ((unit - unit.mean(0)) ** 2).sum((0, 2))
    return np.asarray(np.maximum(1 - variance, 0.0))


def nearest_others(weight: Float64[np.ndarray, "C K"]) -> Int64[np.ndarray, "2 C"]:
    """Return the nearest other concept by cosine, and the next one; -1 where there is none.

    Example:
        >>> nearest_others(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, 0.0]])).tolist()
        [[1, 0, 1, -1], [2, 2, 0, -1]]
    """
    cosine = _gram(weight)
    np.fill_diagonal(cosine, np.nan)
    known = np.where(np.isfinite(cosine), cosine, -2.0)
    order = np.argsort(-known, axis=1, kind="stable")
    nearest = np.full((2, len(weight)), -1)
    for rank, number in enumerate(order.T[:2]):
        there = np.take_along_axis(known, number[:, None], 1)[:, 0] >= -1.5
        nearest[rank] = np.where(there, number, -1)
    return nearest


@dataclass(frozen=True)
class Neighbours:
    """The nearest concept of every concept, and how sure that is.

    Args:
        nearest: Its number; -1 where there is none.
        following: That of the next one, likewise.
        cosine: With the nearest, with 95 % intervals over training sets of the same size.
        lead: That less the cosine with the next one, likewise.
    """

    nearest: Int64[np.ndarray, "C"]
    following: Int64[np.ndarray, "C"]
    cosine: Interval
    lead: Interval


def neighbours(
    full: Float64[np.ndarray, "C K"],
    without: Float64[np.ndarray, "F C K"],
    images: Float64[np.ndarray, "F C"],
) -> Neighbours:
    """Find the nearest concepts, with intervals by the jackknife over folds.

    Args:
        full: The vector of each concept from all folds.
        without: The same without each fold.
        images: What each fold has of a concept: images, or positions in them. Of two concepts, the
            one in fewer folds says how many folds an interval has.
    """
    nearest, following = nearest_others(full)
    each, number = np.arange(len(full)), effective_number(images.sum(0), (images**2).sum(0))

    def cosines(other: Int64[np.ndarray, "C"]) -> Float64[np.ndarray, "all C"]:
        found = np.stack([_gram(rows)[each, other] for rows in (full, *without)])
        return np.where(other >= 0, found, np.nan)

    with_nearest, with_following = cosines(nearest), cosines(following)
    rarer = np.where(number[nearest] < number, nearest, each)

    def interval(values: Float64[np.ndarray, "all C"], most: float) -> Interval:
        found = jackknife(values[0], values[1:], images[:, rarer], least=LEAST_GROUPS)
        return Interval(found.value, np.maximum(found.low, -most), np.minimum(found.high, most))

    return Neighbours(
        nearest,
        following,
        interval(with_nearest, 1.0),
        interval(with_nearest - with_following, 2.0),
    )


def _gram(weight: Float64[np.ndarray, "C K"]) -> Float64[np.ndarray, "C C"]:
    unit = unit_rows(weight)
    return np.asarray(unit @ unit.T)


def standardised_difference(
    covariance: Float64[Tensor, "K K"],
    difference: Float64[Tensor, "C K"],
    directions: Float64[Tensor, "D K"],
) -> Float64[Tensor, "C D"]:
    r"""Return :math:`w'd / \sqrt{w' \Sigma w}`: how far apart inside and outside are along w.

    Args:
        covariance: Of the filters.
        difference: Mean inside of each concept less the mean outside.
        directions: Vectors w over filters.

    Returns:
        In standard deviations of the scores; 0 along what never varies.

    Example:
        >>> eye, d = torch.eye(2).double(), torch.tensor([[3.0, 4.0]]).double()
        >>> standardised_difference(4 * eye, d, torch.cat([eye, d])).tolist()
        [[1.5, 2.0, 2.5]]
    """
    variance = (directions @ covariance * directions).sum(1)
    spread = variance.clamp(min=0).sqrt()
    apart: Tensor = difference @ directions.T
    return torch.where(spread > 0, apart / spread, 0.0)

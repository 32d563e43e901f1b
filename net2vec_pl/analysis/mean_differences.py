"""Means over concepts of many settings, compared two by two over the same images, or groups."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from net2vec_pl.analysis.intervals import MeanParts
from net2vec_pl.analysis.jackknife import effective_number, student
from net2vec_pl.analysis.paired_test import ROUNDING, share_reached, swapped
from net2vec_pl.data.groups import FEW

PERMUTATIONS = 10_000


@dataclass(frozen=True)
class MeanDifferences:
    """Every pair of settings, in the order of an upper triangle.

    Args:
        first: Row of one setting.
        second: Row of the other.
        difference: Mean of the first less that of the second.
        low: Lower bound of its interval over images, or groups; NaN where these are too few.
        high: Upper bound.
        p: Two-sided p-value of a swap test; NaN where units are too few.
    """

    first: Int64[np.ndarray, "T"]
    second: Int64[np.ndarray, "T"]
    difference: Float64[np.ndarray, "T"]
    low: Float64[np.ndarray, "T"]
    high: Float64[np.ndarray, "T"]
    p: Float64[np.ndarray, "T"]


def averaged(of: Sequence[MeanParts]) -> MeanParts:
    """Average means of the same concepts and images, of several seeds say."""
    return MeanParts(
        float(np.mean([parts.value for parts in of])),
        np.mean([parts.without for parts in of], axis=0),
        np.mean([parts.weight for parts in of], axis=0),
        of[0].least,
    )


def mean_differences(
    settings: Sequence[MeanParts],
    permutations: int = PERMUTATIONS,
    level: float = 0.95,
    seed: int = 0,
) -> MeanDifferences:
    r"""Compare the means of every two settings over the units that they have in common.

    Intervals are the jackknife's: both means are taken without the same unit. The test swaps the
    two settings unit by unit, as :func:`~net2vec_pl.analysis.paired_test.paired_test` does for one
    concept. What a unit u of U adds to a mean :math:`\theta` is its pseudo-value (Tukey 1958):

    .. math:: z_u = \theta - \frac{U - 1}{U} \theta_{-u}, \qquad
       p = \frac{1 + \#\{|\sum_u s_u^b (z_u - z'_u)| \ge |\sum_u z_u - z'_u|\}}{1 + B}

    Where means are equal, each z - z' is nearly 0 on average. All concepts of a unit have its sign,
    so they may overlap, and only their mean is tested: one setting may be better at some and worse
    at others. A signed difference of sums is a difference of signed sums, so one product serves
    all pairs.

    Args:
        settings: Means of the same concepts, over the same U units.
        permutations: Random swaps, B; of at most 12 units all are taken.
        level: How often an interval should hold the truth, in (0, 1).
        seed: Seed of the swaps.
    """
    a, b = np.triu_indices(len(settings), 1)
    if not len(a):
        return MeanDifferences(a, b, *np.empty((4, 0)))
    value, without, weight = (
        np.stack([getattr(s, name) for s in settings]) for name in ("value", "without", "weight")
    )
    rows = [_against(without, weight, value, i) for i in range(len(settings) - 1)]
    squares, units, effective = (np.concatenate(of) for of in zip(*rows, strict=True))
    found = student(value[a] - value[b], squares, units, effective, level, least=settings[0].least)
    p, size = np.full(len(a), np.nan), without.shape[1]
    if size >= max(FEW, settings[0].least) and np.isfinite(without).all():
        p = _swap_p(value[:, None] - (size - 1) / size * without, permutations, seed)
    return MeanDifferences(a, b, found.value, found.low, found.high, p)


def _against(
    without: Float64[np.ndarray, "S U"],
    weight: Float64[np.ndarray, "S U"],
    value: Float64[np.ndarray, "S"],
    i: int,
) -> tuple[Float64[np.ndarray, "t"], Int64[np.ndarray, "t"], Float64[np.ndarray, "t"]]:
    """Return what intervals are made of, of setting i less each of those behind it."""
    change = (without[i] - value[i]) - (without[i + 1 :] - value[i + 1 :, None])
    there = np.isfinite(change)
    counted = (weight[i] + weight[i + 1 :]) * there
    effective = effective_number(counted.sum(1), (counted**2).sum(1))
    return (np.where(there, change, 0.0) ** 2).sum(1), there.sum(1), effective


def _swap_p(
    part: Float64[np.ndarray, "S U"], permutations: int, seed: int
) -> Float64[np.ndarray, "T"]:
    total, drawn = part.sum(1), 0
    reached = [np.zeros(len(part) - 1 - i) for i in range(len(part) - 1)]
    for sums in swapped(part, permutations, seed):
        drawn += sums.shape[1]
        for i, counts in enumerate(reached):
            least = np.abs(total[i] - total[i + 1 :]) - ROUNDING * np.abs(total[i])
            counts += (np.abs(sums[i] - sums[i + 1 :]) >= least[:, None]).sum(1)
    return share_reached(np.concatenate(reached), drawn, part.shape[1])

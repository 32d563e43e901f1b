"""Is a gain real? A test of two methods by swaps, corrected for the number of concepts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import sparse, stats

from net2vec_pl.analysis.pair_counts import PairCounts, UnitCounts, set_ious
from net2vec_pl.data.groups import FEW

MULTI, SINGLE, UNDECIDED = "combination", "single filter", "undecided"
_ALL_WAYS = 12  # units: up to so many, every way of swapping is taken
ROUNDING = 1e-9  # equal sums may differ by this share
_BUDGET = 2**23  # numbers held at a time: 64 MB


@dataclass(frozen=True)
class PairedTest:
    """A test of every concept's gain, corrected for the number of concepts.

    Args:
        gain: Difference of set IoUs, multi - single.
        p: Two-sided p-value; NaN where nothing can be tested.
        p_holm: Holm's correction: bounds the chance of any false verdict.
        p_fdr: Benjamini and Hochberg's: bounds the expected share of false verdicts.
        verdict: ``combination`` or ``single filter`` where p_fdr is at most alpha, by the sign of
            the gain, else ``undecided``, or why the concept could not be tested.
    """

    gain: Float64[np.ndarray, "C"]
    p: Float64[np.ndarray, "C"]
    p_holm: Float64[np.ndarray, "C"]
    p_fdr: Float64[np.ndarray, "C"]
    verdict: tuple[str, ...]


def paired_test(
    counts: PairCounts, permutations: int = 10_000, alpha: float = 0.05, seed: int = 0
) -> PairedTest:
    r"""Test whether the two methods have equal set IoUs, by swapping them image by image.

    A set IoU is a ratio of sums, so swapping the counts of an image would test whether the methods
    can be exchanged, and reject when their unions differ. The difference is therefore first made a
    sum over images (or groups) u, with the intersections i and unions n of either method, I and N
    their sums, and J the mean of the two set IoUs:

    .. math:: z_u = \frac{i_u - J n_u}{N} - \frac{i'_u - J n'_u}{N'}, \qquad
       p = \frac{1 + \#\{|\sum_u s_u^b z_u| \ge |\sum_u z_u|\}}{1 + B}

    with signs :math:`s^b` at random, the same for all concepts of a unit. Where set IoUs are equal
    each z is 0 on average. Signs do not change the squares of z, so dividing by their spread would
    change no comparison: this is the studentised test, which needs no symmetry where units are many
    (Janssen, *Studentized permutation tests*, 1997). Of at most 12 units, all swaps are taken.

    Args:
        counts: Pixels of the pairs of val.
        permutations: Random swaps, B, where there are more ways; more are drawn where so few could
            not reach a corrected p of ``alpha`` for a single one of the concepts.
        alpha: Level of the verdict, in (0, 1).
        seed: Seed of the swaps.

    Returns:
        p-values and verdicts; none for a concept of fewer than 6 groups.
    """
    units = counts.by_unit
    value, z = _linearised(counts, units)
    times = max(permutations, int(np.ceil(2 * counts.num_concepts / alpha)))
    total = np.bincount(units.concept, z, counts.num_concepts)
    reached, drawn = np.zeros(counts.num_concepts), 0
    shape = (counts.num_concepts, units.num_units)
    table = sparse.csr_array((z, (units.concept, units.unit)), shape=shape)
    for sums in swapped(table, times, seed):
        reached += (np.abs(sums) >= np.abs(total)[:, None] * (1 - ROUNDING)).sum(1)
        drawn += sums.shape[1]
    reasons = np.array(counts.reasons(), dtype=object)
    few = (reasons == "") & (counts.n_units < FEW)
    reasons[few] = f"fewer than {FEW} groups"
    p = np.where(reasons == "", share_reached(reached, drawn, units.num_units), np.nan)
    p_fdr = benjamini_hochberg(p)
    found = np.where(p_fdr <= alpha, np.where(value > 0, MULTI, SINGLE), UNDECIDED)
    verdict = tuple(np.where(reasons == "", found, reasons).tolist())
    return PairedTest(value, p, _among_finite(p, holm), p_fdr, verdict)


def _linearised(
    counts: PairCounts, units: UnitCounts
) -> tuple[Float64[np.ndarray, "C"], Float64[np.ndarray, "Q"]]:
    """Return the difference of every concept, and what every entry adds to it."""
    scores, total = set_ious(counts.totals), counts.totals[:, 1]
    middle = scores.mean(0)[units.concept]
    parts = np.zeros_like(units.sums[:, 0])
    of_entry = units.sums[:, 0] - middle * units.sums[:, 1]
    np.divide(of_entry, total[:, units.concept], out=parts, where=total[:, units.concept] > 0)
    return np.subtract(*scores), np.nan_to_num(np.subtract(*parts))


def swapped(
    parts: Float64[np.ndarray, "S U"] | sparse.csr_array, times: int, seed: int
) -> Iterator[Float64[np.ndarray, "S _"]]:
    """Sum what units add under signs of theirs, for some ways of swapping at a time.

    Args:
        parts: What each unit adds to each sum.
        times: Ways to draw at random; of at most 12 units, every way is taken instead.
        seed: Seed of the draws.
    """
    num_units = parts.shape[1]
    width = max(1, _BUDGET // max(1, sum(parts.shape)))
    if num_units <= _ALL_WAYS:
        every = np.array([*product((1.0, -1.0), repeat=num_units)])
        yield parts @ every.reshape(2**num_units, -1).T
        return
    rng = np.random.default_rng(seed)
    for start in range(0, times, width):
        some = range(min(width, times - start))
        signs = [rng.integers(2, size=num_units, dtype=np.int8) for _ in some]
        yield parts @ (2.0 * np.stack(signs, 1) - 1.0)


def share_reached(
    reached: Float64[np.ndarray, "T"], drawn: int, num_units: int
) -> Float64[np.ndarray, "T"]:
    """Return p-values from how many ways of swapping reach what was observed.

    Args:
        reached: Ways that do.
        drawn: All ways that :func:`swapped` gave.
        num_units: Of so many units.
    """
    exact = num_units <= _ALL_WAYS  # the observed one is among them
    return reached / drawn if exact else (1 + reached) / (1 + drawn)


def holm(p: Float64[np.ndarray, "T"]) -> Float64[np.ndarray, "T"]:
    """Correct p-values for their number, step by step from the smallest (Holm 1979).

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return corrected


def benjamini_hochberg(p: Float64[np.ndarray, "T"]) -> Float64[np.ndarray, "T"]:
    """Correct p-values for their number, to bound the share of false ones (1995); NaN stays."""
    return _among_finite(p, lambda p: stats.false_discovery_control(p, method="bh"))


def _among_finite(
    p: Float64[np.ndarray, "C"], correct: Callable[[Float64[np.ndarray, "T"]], Any]
) -> Float64[np.ndarray, "C"]:
    corrected, finite = np.full_like(p, np.nan), np.isfinite(p)
    if finite.any():
        corrected[finite] = correct(p[finite])
    return corrected

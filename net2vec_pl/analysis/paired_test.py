"""Is a gain real? A permutation test of two methods, corrected for the number of concepts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from net2vec_pl.analysis.pair_counts import PairCounts, set_ious

MULTI, SINGLE, UNDECIDED = "combination", "single filter", "undecided"
_ROUNDING = 1e-12  # equal differences of set IoUs may differ by this much


@dataclass(frozen=True)
class PairedTest:
    """A permutation test of every concept's gain, corrected for the number of concepts.

    Args:
        gain: Difference of set IoUs, multi - single.
        p: Two-sided p-value, in [1 / (1 + permutations), 1]; NaN where nothing can be tested.
        p_holm: Holm's correction: bounds the chance of any false verdict. With B permutations it
            can reject nothing among more than alpha * (1 + B) concepts.
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
    r"""Test whether the two methods could be exchanged, image by image.

    If they are equally good, which of them gave which prediction of an image is a coin's toss. So
    the counts of an image (or of all images of a group) are swapped at random, for all concepts
    together, and :math:`p = (1 + \#\{|T_b| \ge |T|\}) / (1 + B)` with T the difference of set IoUs
    (Phipson & Smyth, *Permutation p-values should never be zero*, 2010).

    Args:
        counts: Pixels of the pairs of val.
        permutations: Random swaps, B.
        alpha: Level of the verdict, in (0, 1).
        seed: Seed of the swaps.

    Returns:
        p-values and verdicts. A concept of few images cannot reach a small p: with n images
        (or groups) half the swaps mirror the other half, so p is about 2 / 2**n at least.
    """
    rng, before = np.random.default_rng(seed), counts.totals[..., None]
    gain = np.subtract(*set_ious(before))[:, 0]

    def draw(n: int) -> Bool[np.ndarray, "N"]:
        return rng.integers(2, size=n, dtype=bool)

    reached = np.zeros(counts.num_concepts, dtype=np.int64)
    for change in counts.random_sums(counts.single - counts.multi, draw, permutations):
        swapped = np.subtract(*set_ious(before + np.stack([change, -change])))
        reached += (np.abs(swapped) >= np.abs(gain)[:, None] - _ROUNDING).sum(axis=1)
    reasons = np.array(counts.reasons(), dtype=object)
    p = np.where(reasons == "", (1 + reached) / (1 + permutations), np.nan)
    p_fdr = _among_finite(p, lambda p: stats.false_discovery_control(p, method="bh"))
    found = np.where(p_fdr <= alpha, np.where(gain > 0, MULTI, SINGLE), UNDECIDED)
    verdict = tuple(np.where(reasons == "", found, reasons).tolist())
    return PairedTest(gain, p, _among_finite(p, holm), p_fdr, verdict)


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


def _among_finite(
    p: Float64[np.ndarray, "C"], correct: Callable[[Float64[np.ndarray, "T"]], Any]
) -> Float64[np.ndarray, "C"]:
    corrected, finite = np.full_like(p, np.nan), np.isfinite(p)
    if finite.any():
        corrected[finite] = correct(p[finite])
    return corrected

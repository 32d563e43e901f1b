"""Set IoU on val with intervals: what if other images had been drawn, or other concepts?

One resample of the images serves all concepts, so means over concepts get honest intervals too.
"""

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import stats

from net2vec_pl.analysis.pair_counts import PairCounts, set_ious


@dataclass(frozen=True)
class Interval:
    """A number, or one per concept, between the bounds of its interval.

    Args:
        value: The estimate from the data as they are.
        low: Lower bound; NaN where there is none.
        high: Upper bound.
    """

    value: Float64[np.ndarray, "*S"]
    low: Float64[np.ndarray, "*S"]
    high: Float64[np.ndarray, "*S"]

    def array(self) -> Float64[np.ndarray, "3 *S"]:
        """Stack value, low and high, as figures take them."""
        return np.stack([self.value, self.low, self.high])


NOTHING = Interval(*[np.array(np.nan)] * 3)


@dataclass(frozen=True)
class MeanScores:
    """Means over concepts, with intervals.

    Args:
        multi: Mean set IoU of the learned combination.
        single: Mean set IoU of the best single filter, over the same concepts.
        gain: Mean of multi - single.
        won: Share of concepts with a gain above 0. Its interval is Wilson's, over concepts: in a
            resample of the images a gain near 0 falls on either side, and shares are biased.
        n_concepts: Concepts that both methods score.
    """

    multi: Interval
    single: Interval
    gain: Interval
    won: Interval
    n_concepts: int


@dataclass(frozen=True)
class SetIouBootstrap:
    """Intervals of set IoU over resamples of the images.

    Args:
        multi: Set IoU of the learned combination, per concept.
        single: Set IoU of the best single filter.
        gain: multi - single.
        n_images: Images of every concept; with fewer than two, or of one group, it has no interval.
        n_left_out: Resamples without a gain, no image of the concept being drawn; its interval is
            over the others.
        reasons: Why a concept has no interval of its gain; empty if it has.
        replicates: Set IoU in every resample, of multi and of single; NaN where nothing is drawn.
        level: Share of the resamples between the bounds.
    """

    multi: Interval
    single: Interval
    gain: Interval
    n_images: Int64[np.ndarray, "C"]
    n_left_out: Int64[np.ndarray, "C"]
    reasons: tuple[str, ...]
    replicates: Float64[np.ndarray, "2 B C"]
    level: float

    def means(self, among: Bool[np.ndarray, "C"] | None = None) -> MeanScores:
        """Average over the concepts that both methods score, in the data and in every resample.

        A concept with a single image counts here, as it does in the tables of a run.

        Args:
            among: Concepts to average over, those of a category say; all if absent.

        Returns:
            Means with their intervals; NaN if no concept is scored.
        """
        chosen = np.isfinite(self.gain.value)
        if among is not None:
            chosen &= among
        point = np.stack([self.multi.value, self.single.value])[:, chosen]
        drawn = self.replicates[:, :, chosen]

        def mean(point: Float64[np.ndarray, "_"], drawn: Float64[np.ndarray, "B _"]) -> Interval:
            return _interval(_nanmean(point), _nanmean(drawn), self.level)

        gain, gains = point[0] - point[1], drawn[0] - drawn[1]
        return MeanScores(
            multi=mean(point[0], drawn[0]),
            single=mean(point[1], drawn[1]),
            gain=mean(gain, gains),
            won=share_of(int((gain > 0).sum()), len(gain), self.level),
            n_concepts=int(chosen.sum()),
        )


def bootstrap_set_iou(
    counts: PairCounts, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> SetIouBootstrap:
    """Resample the images with replacement, all concepts at once, and read off percentiles.

    The percentile bootstrap (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13);
    N images are drawn from N, whatever concepts they contain; where they are of G groups, G groups
    are drawn from G.

    Args:
        counts: Pixels of the pairs of val.
        replicates: Resamples, B.
        level: Share of the resamples between the bounds, in (0, 1).
        seed: Seed of the draws.

    Returns:
        Set IoU of both methods and their difference, with intervals; NaN bounds for a concept with
        fewer than two images or groups, since resampling one tells nothing.
    """
    rng = np.random.default_rng(seed)

    def draw(n: int) -> Int64[np.ndarray, "N"]:
        return np.bincount(rng.integers(max(n, 1), size=n), minlength=n)

    chunks = counts.random_sums(np.vstack([counts.multi, counts.single]), draw, replicates)
    drawn = np.concatenate([set_ious(c.reshape(2, 2, *c.shape[1:])) for c in chunks], axis=2)
    drawn = drawn.transpose(0, 2, 1)
    point = set_ious(counts.totals)
    enough = counts.n_drawn > 1

    def per_concept(value: Float64[np.ndarray, "C"], rows: Float64[np.ndarray, "B C"]) -> Interval:
        return _interval(value, np.where(enough, rows, np.nan), level)

    return SetIouBootstrap(
        multi=per_concept(point[0], drawn[0]),
        single=per_concept(point[1], drawn[1]),
        gain=per_concept(point[0] - point[1], drawn[0] - drawn[1]),
        n_images=counts.n_images,
        n_left_out=np.isnan(drawn).any(axis=0).sum(axis=0),
        reasons=counts.reasons(),
        replicates=drawn,
        level=level,
    )


def mean_over_concepts(
    values: Float64[np.ndarray, "C"], replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Average over concepts, with a percentile interval over resamples of the concepts.

    Args:
        values: One per concept; what is not finite is left out.
        replicates: Resamples.
        level: Share of the resamples between the bounds, in (0, 1).
        seed: Seed of the draws.

    Example:
        >>> mean_over_concepts(np.array([1.0, 1.0, np.nan])).array().tolist()
        [1.0, 1.0, 1.0]
    """
    kept = values[np.isfinite(values)]
    if not len(kept):
        return NOTHING
    chosen = np.random.default_rng(seed).integers(len(kept), size=(replicates, len(kept)))
    return _interval(np.array(kept.mean()), kept[chosen].mean(axis=1), level)


def _interval(
    value: Float64[np.ndarray, "*S"], drawn: Float64[np.ndarray, "B *S"], level: float
) -> Interval:
    if value.size == 0:
        return Interval(value, value, value)
    with _quiet():
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(value, np.asarray(low), np.asarray(high))


def share_of(hits: int, of: int, level: float = 0.95) -> Interval:
    """Return a share with Wilson's interval."""
    if not of:
        return NOTHING
    low, high = stats.binomtest(hits, of).proportion_ci(level, "wilson")
    return Interval(np.array(hits / of), np.array(low), np.array(high))


def _nanmean(values: Float64[np.ndarray, "*S n"]) -> Float64[np.ndarray, "*S"]:
    with _quiet():
        return np.asarray(np.nanmean(values, axis=-1))


def _quiet() -> AbstractContextManager[None]:
    """NumPy warns of columns that are all NaN; here NaN is the answer to them."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)

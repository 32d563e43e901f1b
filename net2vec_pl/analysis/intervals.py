"""Is a gain real? Intervals, a paired test and the spread over seeds, for set IoU on val.

The image is what chance draws, and its concepts come with it. So one resample of the images serves
all concepts, and means over concepts get honest intervals too. A set IoU is a ratio of sums over
images, so both the bootstrap and the test are one sparse product: counts (rows by images) times
how often every image was drawn, or whether it was swapped.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Num
from scipy import sparse, stats

_BUDGET = 2**23  # numbers held at a time: 64 MB
_ROUNDING = 1e-12  # equal differences of set IoUs may differ by this much

SEVERAL, ONE, UNDECIDED = "several", "one", "undecided"


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


@dataclass(frozen=True)
class PairCounts:
    """Pixels of every pair of an image and a concept it contains, for two methods.

    Args:
        image: The image of each pair, any number.
        concept: The concept of each pair, in [0, C); a pair comes once.
        several_intersection: Pixels in mask and prediction of the learned combination.
        several_union: Pixels in either; NaN where the concept has no embedding.
        single_intersection: The same for the best single filter.
        single_union: NaN where the concept has no filter.
        num_concepts: C.

    Raises:
        ValueError: If a concept is out of range, a pair comes twice, or an intersection exceeds
            its union.
    """

    image: Int64[np.ndarray, "P"]
    concept: Int64[np.ndarray, "P"]
    several_intersection: Num[np.ndarray, "P"]
    several_union: Num[np.ndarray, "P"]
    single_intersection: Num[np.ndarray, "P"]
    single_union: Num[np.ndarray, "P"]
    num_concepts: int

    def __post_init__(self) -> None:
        if ((self.concept < 0) | (self.concept >= self.num_concepts)).any():
            raise ValueError(f"a pair's concept is outside [0, {self.num_concepts})")
        if len(np.unique(np.stack([self.image, self.concept]), axis=1).T) < len(self.image):
            raise ValueError("a pair of image and concept comes twice: were images counted twice?")
        if (self.several_intersection > self.several_union).any() or (
            self.single_intersection > self.single_union
        ).any():
            raise ValueError("an intersection exceeds its union: are they of the same pairs?")

    @property
    def several(self) -> Float64[np.ndarray, "2 P"]:
        """Intersection and union of the learned combination."""
        return np.stack([self.several_intersection, self.several_union]).astype(np.float64)

    @property
    def single(self) -> Float64[np.ndarray, "2 P"]:
        """Intersection and union of the best single filter."""
        return np.stack([self.single_intersection, self.single_union]).astype(np.float64)

    @property
    def n_images(self) -> Int64[np.ndarray, "C"]:
        """Images of every concept."""
        return np.bincount(self.concept, minlength=self.num_concepts)

    def reasons(self) -> tuple[str, ...]:
        """Say of every concept why the two methods cannot be compared on it; empty if they can."""
        several, single = _set_ious(_totals(self))
        reason = np.full(self.num_concepts, "", dtype=object)
        reason[self.n_images == 1] = "one image"
        reason[np.isnan(single)] = "no single filter"
        reason[np.isnan(several)] = "no embedding"
        reason[self.n_images == 0] = "no image"
        return tuple(reason)


@dataclass(frozen=True)
class MeanScores:
    """Means over concepts, with intervals.

    Args:
        several: Mean set IoU of the learned combination.
        single: Mean set IoU of the best single filter, over the same concepts.
        gain: Mean of several - single.
        won: Share of concepts with a gain above 0. Its interval is Wilson's, over concepts: in a
            resample of the images a gain near 0 falls on either side, and shares are biased.
        n_concepts: Concepts that both methods score.
    """

    several: Interval
    single: Interval
    gain: Interval
    won: Interval
    n_concepts: int


@dataclass(frozen=True)
class SetIouBootstrap:
    """Intervals of set IoU over resamples of the images.

    Args:
        several: Set IoU of the learned combination, per concept.
        single: Set IoU of the best single filter.
        gain: several - single.
        n_images: Images of every concept; with fewer than two it has no interval.
        n_left_out: Resamples without a gain, no image of the concept being drawn; its interval is
            over the others.
        reasons: Why a concept has no interval of its gain; empty if it has.
        replicates: Set IoU in every resample, of several and of single; NaN where nothing is drawn.
        level: Share of the resamples between the bounds.
    """

    several: Interval
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
        point = np.stack([self.several.value, self.single.value])[:, chosen]
        drawn = self.replicates[:, :, chosen]

        def mean(point: Float64[np.ndarray, "_"], drawn: Float64[np.ndarray, "B _"]) -> Interval:
            return _interval(_nanmean(point), _nanmean(drawn), self.level)

        gain, gains = point[0] - point[1], drawn[0] - drawn[1]
        return MeanScores(
            several=mean(point[0], drawn[0]),
            single=mean(point[1], drawn[1]),
            gain=mean(gain, gains),
            won=_share(int((gain > 0).sum()), len(gain), self.level),
            n_concepts=int(chosen.sum()),
        )


def bootstrap_set_iou(
    counts: PairCounts, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> SetIouBootstrap:
    """Resample the images with replacement, all concepts at once, and read off percentiles.

    The percentile bootstrap (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 13);
    N images are drawn from N, whatever concepts they contain.

    Args:
        counts: Pixels of the pairs of val.
        replicates: Resamples, B.
        level: Share of the resamples between the bounds, in (0, 1).
        seed: Of the draws.

    Returns:
        Set IoU of both methods and their difference, with intervals; NaN bounds for a concept with
        fewer than two images, since resampling one image tells nothing.
    """
    rng = np.random.default_rng(seed)

    def draw(n: int) -> Int64[np.ndarray, "N"]:
        return np.bincount(rng.integers(max(n, 1), size=n), minlength=n)

    chunks = _products(counts, np.vstack([counts.several, counts.single]), draw, replicates)
    drawn = np.concatenate([_set_ious(c.reshape(2, 2, *c.shape[1:])) for c in chunks], axis=2)
    drawn = drawn.transpose(0, 2, 1)
    point = _set_ious(_totals(counts))
    enough = counts.n_images > 1

    def per_concept(value: Float64[np.ndarray, "C"], rows: Float64[np.ndarray, "B C"]) -> Interval:
        return _interval(value, np.where(enough, rows, np.nan), level)

    return SetIouBootstrap(
        several=per_concept(point[0], drawn[0]),
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
        seed: Of the draws.

    Example:
        >>> mean_over_concepts(np.array([1.0, 1.0, np.nan])).array().tolist()
        [1.0, 1.0, 1.0]
    """
    kept = values[np.isfinite(values)]
    if not len(kept):
        nothing = np.array(np.nan)
        return Interval(nothing, nothing, nothing)
    chosen = np.random.default_rng(seed).integers(len(kept), size=(replicates, len(kept)))
    return _interval(np.array(kept.mean()), kept[chosen].mean(axis=1), level)


@dataclass(frozen=True)
class PairedTest:
    """A permutation test of every concept's gain, corrected for the number of concepts.

    Args:
        gain: Difference of set IoUs, several - single.
        p: Two-sided p-value, in [1 / (1 + permutations), 1]; NaN where nothing can be tested.
        p_holm: Holm's correction: bounds the chance of any false verdict. With B permutations it
            can reject nothing among more than alpha * (1 + B) concepts.
        p_fdr: Benjamini and Hochberg's: bounds the expected share of false verdicts.
        verdict: ``several`` or ``one`` where p_fdr is at most alpha, by the sign of the gain, else
            ``undecided``, or why the concept could not be tested.
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
    the counts of an image are swapped between the methods at random, for all its concepts together,
    and :math:`p = (1 + \#\{|T_b| \ge |T|\}) / (1 + B)` with T the difference of set IoUs (Phipson
    & Smyth, *Permutation p-values should never be zero*, 2010).

    Args:
        counts: Pixels of the pairs of val.
        permutations: Random swaps, B.
        alpha: Level of the verdict, in (0, 1).
        seed: Of the swaps.

    Returns:
        p-values and verdicts. A concept of few images cannot reach a small p: with n images half
        the swaps mirror the other half, so p is about 2 / 2**n at least.
    """
    rng, before = np.random.default_rng(seed), _totals(counts)[..., None]
    gain = np.subtract(*_set_ious(before))[:, 0]

    def draw(n: int) -> Bool[np.ndarray, "N"]:
        return rng.integers(2, size=n, dtype=bool)

    reached = np.zeros(counts.num_concepts, dtype=np.int64)
    for change in _products(counts, counts.single - counts.several, draw, permutations):
        swapped = np.subtract(*_set_ious(before + np.stack([change, -change])))
        reached += (np.abs(swapped) >= np.abs(gain)[:, None] - _ROUNDING).sum(axis=1)
    reasons = np.array(counts.reasons(), dtype=object)
    p = np.where(reasons == "", (1 + reached) / (1 + permutations), np.nan)
    p_fdr = _among_finite(p, lambda p: stats.false_discovery_control(p, method="bh"))
    found = np.where(p_fdr <= alpha, np.where(gain > 0, SEVERAL, ONE), UNDECIDED)
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


@dataclass(frozen=True)
class SeedSpread:
    """How much a concept depends on the seed of its training.

    Args:
        score_std: Standard deviation of its score over seeds (ddof 1).
        cosine: Mean cosine of its embeddings over all pairs of seeds.
        n_scores: Seeds with a score; fewer than two leave ``score_std`` NaN.
        n_embeddings: Seeds with an embedding, neither zero nor NaN; two are needed for ``cosine``.
    """

    score_std: Float64[np.ndarray, "C"]
    cosine: Float64[np.ndarray, "C"]
    n_scores: Int64[np.ndarray, "C"]
    n_embeddings: Int64[np.ndarray, "C"]


def spread_over_seeds(
    scores: Float64[np.ndarray, "S C"], embeddings: Float64[np.ndarray, "S C K"]
) -> SeedSpread:
    """Compare the same concepts as learned from several seeds.

    The mean over pairs needs no pair: unit vectors u_s have |sum u_s|^2 = S + (sum of their cosines
    over ordered pairs).

    Args:
        scores: A score of every seed and concept, set IoU on val say.
        embeddings: The embedding learned from every seed.

    Returns:
        Spread per concept.
    """
    norm = np.linalg.norm(embeddings, axis=2, keepdims=True)
    there = np.isfinite(norm) & (norm > 0)
    unit = np.divide(embeddings, norm, out=np.zeros_like(embeddings), where=there)
    n = there[..., 0].sum(axis=0)
    squared = (unit.sum(axis=0) ** 2).sum(axis=1)
    n_scores = np.isfinite(scores).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"), _quiet():
        std = np.nanstd(scores, axis=0, ddof=1)
        cosine = (squared - n) / (n * (n - 1))
    return SeedSpread(
        np.where(n_scores > 1, std, np.nan), np.where(n > 1, cosine, np.nan), n_scores, n
    )


# -------------------- set IoU as a sparse product


def _products(
    counts: PairCounts,
    values: Float64[np.ndarray, "V P"],
    draw: Callable[[int], Num[np.ndarray, "N"]],
    times: int,
) -> Iterator[Float64[np.ndarray, "V C _"]]:
    """Sum values over images that are weighted at random, for a few draws at a time."""
    images, column = np.unique(counts.image, return_inverse=True)
    rows = np.arange(len(values))[:, None] * counts.num_concepts + counts.concept
    place = (rows.ravel(), np.tile(column, len(values)))
    shape = (len(values) * counts.num_concepts, len(images))
    table = sparse.csr_array((values.ravel(), place), shape=shape)
    width = max(1, _BUDGET // max(1, sum(shape)))
    for start in range(0, times, width):
        weights = np.stack([draw(len(images)) for _ in range(min(width, times - start))], axis=1)
        yield (table @ weights.astype(np.float64)).reshape(len(values), -1, weights.shape[1])


def _totals(counts: PairCounts) -> Float64[np.ndarray, "2 2 C"]:
    """Sum over images: method by (intersection, union) by concept."""
    values = [*counts.several, *counts.single]
    sums = [np.bincount(counts.concept, v, counts.num_concepts) for v in values]
    return np.stack(sums).astype(np.float64).reshape(2, 2, -1)


def _set_ious(sums: Float64[np.ndarray, "M 2 *S"]) -> Float64[np.ndarray, "M *S"]:
    """Divide intersections by unions; NaN where the union is empty or NaN."""
    score = np.full_like(sums[:, 0], np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=score, where=sums[:, 1] > 0)
    return score


# -------------------- numbers among which some are missing


def _interval(
    value: Float64[np.ndarray, "*S"], drawn: Float64[np.ndarray, "B *S"], level: float
) -> Interval:
    if value.size == 0:
        return Interval(value, value, value)
    with _quiet():
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(value, np.asarray(low), np.asarray(high))


def _share(hits: int, of: int, level: float) -> Interval:
    """Return a share with Wilson's interval."""
    if not of:
        nothing = np.array(np.nan)
        return Interval(nothing, nothing, nothing)
    low, high = stats.binomtest(hits, of).proportion_ci(level, "wilson")
    return Interval(np.array(hits / of), np.array(low), np.array(high))


def _nanmean(values: Float64[np.ndarray, "*S n"]) -> Float64[np.ndarray, "*S"]:
    with _quiet():
        return np.asarray(np.nanmean(values, axis=-1))


def _among_finite(
    p: Float64[np.ndarray, "C"], correct: Callable[[Float64[np.ndarray, "T"]], Any]
) -> Float64[np.ndarray, "C"]:
    corrected, finite = np.full_like(p, np.nan), np.isfinite(p)
    if finite.any():
        corrected[finite] = correct(p[finite])
    return corrected


@contextmanager
def _quiet() -> Iterator[None]:
    """NumPy warns of columns that are all NaN; here NaN is the answer to them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield

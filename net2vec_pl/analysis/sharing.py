"""Who shares filters with whom: concepts of a filter, filters of a concept, and what fails.

Net2Vec, section 4.2 and supplement: one filter serves several concepts, and one concept several
filters. Beside the counts of the paper stand what chance alone would give, and counts of filters
that need no cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy import stats

# The paper's bins, by their smallest number of concepts.
BINS = {"0": 0, "1": 1, "2–5": 2, "6–9": 6, "10–14": 10, "15–19": 15, "20+": 20}
# A concept is detected above these val set IoUs. They differ on purpose: many filters score higher.
DETECTED_BY_SINGLE, DETECTED_BY_MULTI = 0.04, 0.20
FEW_IMAGES = 20
_ROUNDING = 1e-12  # equal sums of floats may differ by this share


@dataclass(frozen=True)
class FilterSharing:
    """How many concepts have chosen each filter.

    Args:
        n_concepts: Concepts per filter.
        n_without: Concepts that have chosen none.
    """

    n_concepts: Int64[np.ndarray, "K"]
    n_without: int

    @property
    def histogram(self) -> dict[str, float]:
        """Share of the K filters in each of the paper's bins; NaN if there is no filter."""
        edges = [*BINS.values(), np.iinfo(np.int64).max]
        n = np.histogram(self.n_concepts, edges)[0]
        total = len(self.n_concepts)
        return {name: int(x) / total if total else np.nan for name, x in zip(BINS, n, strict=True)}


def concepts_per_filter(best_filter: Int64[np.ndarray, "C"], num_filters: int) -> FilterSharing:
    """Count the concepts whose best filter each filter is.

    Args:
        best_filter: A filter per concept; -1 where no filter overlaps it.
        num_filters: K.

    Returns:
        Counts; the concepts without a filter are counted apart, where the original gives them to
        filter 0.

    Raises:
        ValueError: If a filter is K or more.
    """
    if (best_filter >= num_filters).any():
        raise ValueError(
            f"a concept's best filter is {best_filter.max()}, of {num_filters} filters"
        )
    chosen = best_filter[best_filter >= 0]
    n_concepts = np.bincount(chosen, minlength=num_filters)
    return FilterSharing(n_concepts, len(best_filter) - len(chosen))


def participation_ratio(weight: Float[np.ndarray, "C K"]) -> Float64[np.ndarray, "C"]:
    r"""Count the filters of a concept without a cut: :math:`(\sum_k w_k^2)^2 / \sum_k w_k^4`.

    Args:
        weight: Embeddings.

    Returns:
        1 for a single filter to K for equal absolute weights; NaN for a row without any weight.

    Example:
        >>> participation_ratio(np.array([[0.0, 3.0, 0.0], [2.0, -2.0, 2.0]])).tolist()
        [1.0, 3.0]
    """
    square = _relative(weight) ** 2
    return np.asarray(square.sum(axis=1) ** 2 / (square**2).sum(axis=1))


def filters_for_mass(
    weight: Float[np.ndarray, "C K"], mass: float = 0.8
) -> Float64[np.ndarray, "C"]:
    """Count the largest filters that hold a share of the sum of absolute weights.

    Args:
        weight: Embeddings.
        mass: Share of the sum, in (0, 1].

    Returns:
        1 to K; NaN for a row without any weight.
    """
    held = np.cumsum(-np.sort(-_relative(weight), axis=1), axis=1)
    missing = held < mass * held[:, -1:] * (1 - _ROUNDING)
    return np.where(np.isnan(held[:, -1]), np.nan, 1 + missing.sum(axis=1))


def _relative(weight: Float[np.ndarray, "C K"]) -> Float64[np.ndarray, "C K"]:
    """Divide absolute weights by the largest of the row; a row without any is all NaN."""
    size = np.abs(weight.astype(np.float64))
    largest = size.max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(size / np.where(largest > 0, largest, np.nan))


@dataclass(frozen=True)
class Overlap:
    """Filters that pairs of concepts have in common, of the F that each has chosen of K.

    Args:
        shared: Filters in common, among the D concepts that have chosen any; the diagonal holds F.
        concept: Which concepts those are.
        n_without: Concepts that have chosen none.
        z: Standard deviations above chance; NaN if F = K, when all must agree.
        p: Chance of sharing at least so many.
        expected: F^2 / K, what two random choices share.
        mean: Mean over pairs; NaN below two concepts.
        p_mean: Share of random banks whose mean is at least this, (1 + #) / (1 + B).
        random_mean: Mean over pairs of every random bank.
        pairs: Share of the pairs that have 0 to F filters in common.
        chance: The same, were the choices random.
    """

    shared: Int64[np.ndarray, "D D"]
    concept: Int64[np.ndarray, "D"]
    n_without: int
    z: Float64[np.ndarray, "D D"]
    p: Float64[np.ndarray, "D D"]
    expected: float
    mean: float
    p_mean: float
    random_mean: Float64[np.ndarray, "B"]
    pairs: Float64[np.ndarray, "G"]
    chance: Float64[np.ndarray, "G"]


def overlap(chosen: Bool[np.ndarray, "C K"], permutations: int = 1000, seed: int = 0) -> Overlap:
    """Compare the filters that concepts have in common with what random choices would share.

    Of two random sets of F filters among K, the number in common is hypergeometric. The mean over
    all pairs is compared with banks in which each concept chooses its F filters at random.

    Args:
        chosen: The F filters of every concept; a concept without an embedding has chosen none.
        permutations: Random banks, B.
        seed: Seed of the random banks.

    Returns:
        Overlap of every pair and on average.

    Raises:
        ValueError: If concepts have chosen different numbers of filters.
    """
    size = chosen.sum(axis=1)
    concept = np.flatnonzero(size)
    if len(set(size[concept].tolist())) > 1:
        raise ValueError(f"concepts chose from {size[concept].min()} to {size.max()} filters each")
    num, k, f = len(concept), chosen.shape[1], int(size.max(initial=0))
    sets = chosen[concept].astype(np.float64)
    shared = (sets @ sets.T).astype(np.int64)
    law, common = stats.hypergeom(k, f, f), np.arange(f + 1)
    expected = f * f / k
    deviation = np.sqrt(expected * (1 - f / k) * (k - f) / (k - 1)) if 0 < f < k else np.nan
    mean = _mean_overlap(sets.sum(axis=0), num)
    random = _random_means(num, k, f, permutations, np.random.default_rng(seed))
    reached = int((random >= mean - _ROUNDING).sum())
    found = np.bincount(shared[np.triu_indices(num, 1)], minlength=f + 1)
    return Overlap(
        shared=shared,
        concept=concept,
        n_without=len(chosen) - num,
        z=(shared - expected) / deviation,
        p=law.sf(common - 1)[shared],
        expected=expected,
        mean=mean,
        p_mean=(1 + reached) / (1 + permutations) if num > 1 else np.nan,
        random_mean=random,
        pairs=found / found.sum() if num > 1 else np.full(f + 1, np.nan),
        chance=law.pmf(common),
    )


def _mean_overlap(popularity: Float64[np.ndarray, "K"], num: int) -> float:
    """Mean over pairs: a filter that n concepts have chosen is common to n (n - 1) / 2 of them."""
    if num < 2:
        return np.nan
    return float((popularity * (popularity - 1)).sum() / (num * (num - 1)))


def _random_means(
    num: int, k: int, f: int, times: int, rng: np.random.Generator
) -> Float64[np.ndarray, "B"]:
    """Mean overlap of banks in which every concept chooses f of k filters at random."""
    means = np.full(times, np.nan)
    for b in range(times if num > 1 else 0):
        sets = np.argpartition(rng.random((num, k)), f - 1, axis=1)[:, :f]
        popularity = np.bincount(sets.ravel(), minlength=k).astype(np.float64)
        means[b] = _mean_overlap(popularity, num)
    return means


def detector_scores(
    best_concept: Int64[np.ndarray, "K"], score: Float64[np.ndarray, "K"], num_concepts: int
) -> Float64[np.ndarray, "C"]:
    """Score concepts as NetDissect does: a filter speaks only for the concept it detects best.

    Net2Vec, supplement, figure 10. A filter may be some concept's best and yet detect another one
    better; then it is not that concept's detector.

    Args:
        best_concept: Each filter's concept of largest train set IoU; -1 if it overlaps none.
        score: Val set IoU of each filter on its concept.
        num_concepts: C.

    Returns:
        The largest score over the filters of each concept; NaN for concepts that have none.
    """
    best = np.full(num_concepts, np.nan)
    given = best_concept >= 0
    np.fmax.at(best, best_concept[given], score[given])
    return best


def count_detectors(
    score: Float64[np.ndarray, "C"], at_least: float, categories: Sequence[str]
) -> dict[str, int]:
    """Count the concepts that are detected, by category, in order of appearance.

    Args:
        score: Of :func:`detector_scores`, or val set IoU of the learned combinations.
        at_least: ``DETECTED_BY_SINGLE`` or ``DETECTED_BY_MULTI``.
        categories: Category of every concept.

    Returns:
        Counts, 0 included; a NaN is not detected.
    """
    counts = dict.fromkeys(categories, 0)
    for category, found in zip(categories, (score >= at_least).tolist(), strict=True):
        counts[category] += found
    return counts


@dataclass(frozen=True)
class Contrast:
    """A quantity among failures and among the others.

    Args:
        failed: Median over the failures; NaN if there is none.
        others: Median over the others.
        p: P of the two-sided Mann-Whitney test; NaN if a side is empty.
    """

    failed: float
    others: float
    p: float


@dataclass(frozen=True)
class Failures:
    """Concepts on which the combination scores below the best single filter.

    Args:
        failed: Whether each concept is one; not where either score is missing.
        n_compared: Concepts with both scores.
        images: Contrast of log10 of the train images.
        size: Contrast of the mean share of a picture that the concept covers, 1 - alpha.
        few_failed: Failures with at most ``FEW_IMAGES`` train images.
        few_others: Others with as few.
    """

    failed: Bool[np.ndarray, "C"]
    n_compared: int
    images: Contrast
    size: Contrast
    few_failed: int
    few_others: int

    @property
    def n_failed(self) -> int:
        """Number of failures."""
        return int(self.failed.sum())


def failures(
    multi: Float64[np.ndarray, "C"],
    single: Float64[np.ndarray, "C"],
    n_train: Int64[np.ndarray, "C"],
    alpha: Float64[np.ndarray, "C"],
) -> Failures:
    """Ask whether failures have fewer train images or smaller objects than the others.

    Net2Vec, supplement, 2.1.1, expects over-fitting: too few examples, or too small ones.

    Args:
        multi: Val set IoU of the learned combinations.
        single: Val set IoU of the best single filters.
        n_train: Train images of every concept.
        alpha: Weight of the concept in the loss, 1 - its mean share of a picture.

    Returns:
        The failures and both contrasts, over concepts with both scores.
    """
    failed, compared = multi < single, np.isfinite(multi) & np.isfinite(single)
    others, few = compared & ~failed, n_train <= FEW_IMAGES
    images = np.log10(np.maximum(n_train, 1).astype(np.float64))
    return Failures(
        failed=failed,
        n_compared=int(compared.sum()),
        images=_contrast(images[failed], images[others]),
        size=_contrast(1 - alpha[failed], 1 - alpha[others]),
        few_failed=int((failed & few).sum()),
        few_others=int((others & few).sum()),
    )


def _contrast(failed: Float64[np.ndarray, "_"], others: Float64[np.ndarray, "_"]) -> Contrast:
    failed, others = failed[np.isfinite(failed)], others[np.isfinite(others)]
    p = stats.mannwhitneyu(failed, others).pvalue if len(failed) and len(others) else np.nan
    return Contrast(_median(failed), _median(others), float(p))


def _median(values: Float64[np.ndarray, "_"]) -> float:
    return float(np.median(values)) if len(values) else np.nan

"""How many filters does a concept need? Its F largest weights, retrained, against all of them.

Net2Vec, section 4.1: take the filters of largest weight, learn a new embedding on those alone, and
see at which F it reaches some share of the full score. A share is of what lies above a floor that
needs no filter: a concept's reference level (set IoU), or 0.5 (balanced accuracy). From zero, a
mask of every pixel would "need one filter".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from net2vec_pl.errors import ConfigError, unknown

Target = Literal["segmentation", "classification"]
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_CLASSIFICATION = (1, 2, 3, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 80, 100, 128)
_POWERS = (1, 2, 4, 8, 16, 32, 64, 128)
_ROUNDING = 1e-12  # a score that equals its goal reaches it


def default_sizes(num_filters: int, target: str) -> list[int]:
    """Choose the numbers of filters to try, F; for K = 256 they are those of the original code.

    Args:
        num_filters: K, the filters of the layer.
        target: ``segmentation`` or ``classification``.

    Returns:
        Rising numbers, the last of them K. For segmentation powers of two up to 128, followed, from
        256 filters on, by 5/8, 6/8, 7/8 and all of K: twelve numbers.

    Raises:
        ConfigError: If the target is unknown.

    Example:
        >>> default_sizes(20, "segmentation")
        [1, 2, 4, 8, 16, 20]
    """
    if target not in get_args(Target):
        raise ConfigError(unknown("target", target, get_args(Target)))
    sizes = set(_POWERS if target == "segmentation" else _CLASSIFICATION)
    if target == "segmentation" and num_filters >= 256:
        sizes.update(num_filters * eighths // 8 for eighths in (5, 6, 7))
    return [*sorted(size for size in sizes if size < num_filters), num_filters]


def top_filters(
    weight: Float[np.ndarray, "C K"], sizes: Sequence[int]
) -> Bool[np.ndarray, "F C K"]:
    """Mark the filters of largest absolute weight, the lower index first on ties.

    Args:
        weight: Embeddings. A row of zeros, or with a NaN, is no embedding and keeps no filter.
        sizes: Numbers of filters to keep.

    Returns:
        For every size, the filters that every concept keeps.

    Raises:
        ConfigError: If a size is below 1 or above K.
    """
    num_filters = weight.shape[1]
    if outside := [size for size in sizes if not 1 <= size <= num_filters]:
        raise ConfigError(
            f"cannot keep {outside[0]} filters: the layer has {num_filters}. "
            f"Choose sizes from 1 to {num_filters}."
        )
    order = np.argsort(-np.abs(weight), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(num_filters)[None], axis=1)
    embedded = np.isfinite(weight).all(axis=1) & (weight != 0).any(axis=1)
    within = rank[None] < np.array(sizes, dtype=np.int64)[:, None, None]
    return np.asarray(within & embedded[:, None])


@dataclass(frozen=True)
class FiltersNeeded:
    """The fewest filters with which every concept reaches a share of its full score.

    Args:
        needed: Filters at every level; NaN for concepts left out.
        levels: Shares of what the full score has above the floor.
        n_excluded: Concepts left out: no full score or floor, or no score above the floor.
    """

    needed: Float64[np.ndarray, "L C"]
    levels: tuple[float, ...]
    n_excluded: int


def filters_needed(
    scores: Float64[np.ndarray, "F C"],
    sizes: Sequence[int],
    levels: Sequence[float],
    floor: Float64[np.ndarray, "C"] | float,
) -> FiltersNeeded:
    r"""Find the first F with :math:`s_F \ge f + p (s_K - f)`, for every level p, above a floor f.

    First in order of F: curves need not rise throughout. The original counts from zero, and
    concepts with :math:`s_K = 0` as needing one filter; here they are left out and counted.

    Scores may be those of val. The first F of a noisy curve is a little lucky, but hardly biased:
    in simulations it is 1.0 to 1.2 times that of many images, where scores on train images, which
    further filters fit ever better, give up to 8 times that (``tests/simulated/needed.py``).

    Args:
        scores: Score of every concept at every size; a NaN reaches nothing.
        sizes: Numbers of filters, the largest being the full model.
        levels: Shares p, in (0, 1].
        floor: What needs no filter, one or one per concept: a reference level, or 0.5 for balanced
            accuracy; NaN leaves a concept out.

    Returns:
        Filters needed; the largest size where no smaller one will do.
    """
    rising = np.argsort(sizes)
    size, ordered = np.array(sizes)[rising], scores[rising]
    full = ordered[-1]
    goal = floor + np.array(levels)[:, None] * (full - floor)
    reached = ordered >= goal[:, None] - _ROUNDING
    above = full > floor
    needed = np.where(above, size[reached.argmax(axis=1)], np.nan)
    return FiltersNeeded(needed, tuple(levels), int((~above).sum()))


def cumulative_share(
    needed: Float64[np.ndarray, "L C"], sizes: Sequence[int]
) -> Float64[np.ndarray, "L F"]:
    """Return the share of concepts that need no more than F filters.

    Args:
        needed: Filters needed; NaN for concepts left out, infinite for those that never get there.
        sizes: Numbers of filters, F.

    Returns:
        Shares in [0, 1] of the concepts that are not left out; NaN if all are.
    """
    within = (needed[:, None] <= np.array(sizes)[:, None]).sum(axis=2)
    counted = (~np.isnan(needed)).sum(axis=1)[:, None]
    return np.where(counted > 0, within / np.maximum(counted, 1), np.nan)


@dataclass(frozen=True)
class NeededSpread:
    """Filters needed by the concepts of a bank, per level: the median and the middle half.

    Concepts are a fixed list, and they overlap, so a median over them has no interval.

    Args:
        median: Over concepts.
        low: First quartile.
        high: Third quartile.
        n_concepts: Concepts that are not left out.
    """

    median: Float64[np.ndarray, "L"]
    low: Float64[np.ndarray, "L"]
    high: Float64[np.ndarray, "L"]
    n_concepts: int

    def text(self, level: int, pattern: str = "{:.0f}") -> str:
        """Write the median of a level, and the middle half in parentheses."""
        median, low, high = (pattern.format(v[level]) for v in (self.median, self.low, self.high))
        return f"{median} (middle half of the concepts: {low} to {high})"


def needed_spread(needed: Float64[np.ndarray, "L C"]) -> NeededSpread:
    """Return median and quartiles over concepts.

    Args:
        needed: Filters needed; a concept with a NaN at any level is left out.

    Returns:
        NaN if no concept is left. Quartiles are numbers of some concept: a few may be infinite,
        and cannot be interpolated.
    """
    kept = needed[:, ~np.isnan(needed).any(axis=0)]
    if not kept.shape[1]:
        nothing = np.full(len(needed), np.nan)
        return NeededSpread(nothing, nothing, nothing, 0)
    low, high = np.quantile(kept, [0.25, 0.75], axis=1, method="nearest")
    return NeededSpread(np.median(kept, axis=1), low, high, kept.shape[1])


@dataclass(frozen=True)
class MeanCurve:
    """Mean score against the number of filters.

    Args:
        mean: Mean over concepts with a score; NaN if there are none.
        error: Standard error of the mean, std / sqrt(n) with ddof 1; NaN below two concepts.
        n: Concepts with a score.
    """

    mean: Float64[np.ndarray, "F"]
    error: Float64[np.ndarray, "F"]
    n: Int64[np.ndarray, "F"]


def mean_curve(scores: Float64[np.ndarray, "F C"]) -> MeanCurve:
    """Average over concepts at every size.

    Args:
        scores: Score of every concept at every size; NaN where there is none.

    Returns:
        The curve and its standard error, over finite scores.
    """
    there = np.isfinite(scores)
    n = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(there, scores, 0.0).sum(axis=1) / n
        squares = np.where(there, scores - mean[:, None], 0.0) ** 2
        error = np.sqrt(squares.sum(axis=1) / (n - 1) / n)
    return MeanCurve(mean, np.where(n > 1, error, np.nan), n)


def mean_curves(
    scores: Float64[np.ndarray, "F C"], categories: Sequence[str]
) -> dict[str, MeanCurve]:
    """Average over the concepts of each category, in order of appearance.

    Args:
        scores: Score of every concept at every size.
        categories: Category of every concept.

    Returns:
        A curve per category.
    """
    names = np.array(categories, dtype=object)
    return {name: mean_curve(scores[:, names == name]) for name in dict.fromkeys(categories)}


@dataclass(frozen=True)
class Sparsest:
    """The point on each concept's path with the fewest filters that reach a level.

    Args:
        point: Which penalty; -1 for a concept that is left out, or reaches the level nowhere.
        filters: Non-zero filters there: infinite where the level is reached nowhere, NaN for
            concepts left out.
        at_least: The fewest filters that a concept can need, as far as the path tells: those
            above, or more than all the path has.
    """

    point: Int64[np.ndarray, "C"]
    filters: Float64[np.ndarray, "C"]
    at_least: Float64[np.ndarray, "C"]


def sparsest(
    nonzero: Int64[np.ndarray, "P C"],
    scores: Float64[np.ndarray, "P C"],
    full: Float64[np.ndarray, "C"],
    level: float,
    floor: Float64[np.ndarray, "C"] | float,
) -> Sparsest:
    """Ask the same of an L1 penalty: the fewest non-zero filters on its path that reach a level.

    Unlike the largest weights of the full model, the penalty chooses filters that do well together.
    The point is a choice among trainings, so scores should be those of train images.

    Args:
        nonzero: Non-zero weights at each of P penalties.
        scores: Scores there; a NaN reaches nothing.
        full: Score without a penalty; NaN leaves a concept out.
        level: Share of what the full score has above the floor.
        floor: What needs no filter.
    """
    above = full > floor
    reached = scores >= floor + level * (full - floor) - _ROUNDING
    filters = np.where(reached, nonzero, np.inf)
    point = filters.argmin(0)
    fewest = np.where(above, filters.min(0), np.nan)
    at_least = np.where(np.isinf(fewest), nonzero.max(0), fewest)
    return Sparsest(np.where(np.isfinite(fewest), point, -1), fewest, at_least)

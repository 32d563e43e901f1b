"""What a change of a layer comes to, over images: intervals, and its place among random ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from net2vec_pl.analysis.chance import p_value
from net2vec_pl.analysis.jackknife import (
    LEAST_GROUPS,
    LEAST_IMAGES,
    NOTHING,
    Interval,
    jackknife,
)


def over_images(
    values: Float64[np.ndarray, "N J"],
    groups: Int64[np.ndarray, "N"] | None = None,
    level: float = 0.95,
) -> Interval:
    """Average over images, then over columns, with an interval over images, or groups of them.

    Args:
        values: Of each image, in columns such as concepts; NaN where a column has none.
        groups: The group of each image; None where each stands alone.
        level: How often the interval should hold the truth.

    Returns:
        The mean; its bounds are NaN where a column has fewer than 10 images, or 3 groups.

    Example:
        >>> over_images(np.array([[1.0], [3.0]])).array().tolist()
        [2.0, nan, nan]
    """
    known = np.isfinite(values)
    values, known = values[:, known.any(0)], known[:, known.any(0)]
    if not values.size:
        return NOTHING
    unit = np.arange(len(values)) if groups is None else groups
    member = (np.unique(unit[known.any(1)])[:, None] == unit).astype(np.float64)
    sums, counts = member @ np.where(known, values, 0.0), member @ known
    total, count = sums.sum(0), counts.sum(0)
    value = np.asarray((total / count).mean())
    enough = count.min() >= LEAST_IMAGES
    if groups is not None:
        enough &= (counts > 0).sum(0).min() >= LEAST_GROUPS
    if not enough:
        return Interval(value, NOTHING.low, NOTHING.high)
    without = ((total - sums) / (count - counts)).mean(1, keepdims=True)
    weight = (counts / count).mean(1, keepdims=True)
    found = jackknife(value[None], without, weight, level, least=LEAST_GROUPS, skewed=True)
    return Interval(*map(np.asarray, found.array()[:, 0]))


def image_means(values: Float64[np.ndarray, "D N"]) -> Float64[np.ndarray, "D"]:
    """Average over the images that have a value; NaN where none has."""
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(1), known.sum(1)
    means = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return np.asarray(means)


def placed(value: float, random: Float64[np.ndarray, "R"]) -> float:
    """Return the p-value of a number among those of random directions: (1 + #) / (1 + R).

    Args:
        value: Large where there is an effect.
        random: The same of random directions; # of them are as large.

    Returns:
        NaN where there is nothing to place.

    Example:
        >>> placed(2.0, np.array([1.0, 2.0, 0.0])), placed(3.0, np.array([1.0, 2.0, 0.0]))
        (0.5, 0.25)
    """
    random = random[np.isfinite(random)]
    return p_value(value, random) if len(random) and np.isfinite(value) else float("nan")


def per_dose(
    rises: Float64[np.ndarray, "D *S"], doses: Sequence[float]
) -> Float64[np.ndarray, "*S"]:
    """Fit a line through the origin to what each image rises by with the dose.

    Example:
        >>> per_dose(np.array([[2.0], [4.0]]), [1.0, 2.0]).tolist()
        [2.0]
    """
    dose = np.asarray(doses, dtype=np.float64)
    return np.asarray(np.tensordot(dose, rises, 1) / (dose @ dose))

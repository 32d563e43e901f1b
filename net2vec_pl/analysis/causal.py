"""What a change of a layer comes to, over images: intervals, and its place among random ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from net2vec_pl.analysis.jackknife import Interval

LEAST_IMAGES = 10  # with fewer there is no interval


def image_draws(num_images: int, replicates: int, seed: int) -> Int64[np.ndarray, "B N"]:
    """Draw images with replacement; the one place where images are resampled.

    Args:
        num_images: N.
        replicates: Resamples, B.
        seed: Of the draws.

    Returns:
        How often each image comes in each resample.
    """
    drawn = np.random.default_rng([seed, 5]).integers(num_images, size=(replicates, num_images))
    return np.stack([np.bincount(row, minlength=num_images) for row in drawn])


def over_images(
    values: Float64[np.ndarray, "N J"], replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Average over images, then over columns, with an interval over resamples of the images.

    Percentiles are those of Hesterberg's expanded bootstrap (*What teachers should know about the
    bootstrap*, 2015), which is as wide as an interval by Student's t where few images are.

    Args:
        values: Of each image, in columns such as concepts; NaN where a column has none.
        replicates: Resamples.
        level: Share of the resamples between the bounds, before they are expanded.
        seed: Of the draws.

    Returns:
        The mean; its bounds are NaN where a column has fewer than 10 images.

    Example:
        >>> over_images(np.array([[1.0], [3.0]])).array().tolist()
        [2.0, nan, nan]
    """
    known = np.isfinite(values)
    values = values[:, known.any(0)]
    known = known[:, known.any(0)]
    if not values.size:
        return Interval(*[np.array(np.nan)] * 3)
    filled, least = np.where(known, values, 0.0), int(known.sum(0).min())
    value = np.asarray((filled.sum(0) / known.sum(0)).mean())
    if least < LEAST_IMAGES:
        return Interval(value, np.array(np.nan), np.array(np.nan))
    draws = image_draws(len(values), replicates, seed).astype(np.float64)
    counts = draws @ known
    means = np.divide(
        draws @ filled, counts, out=np.full(counts.shape, np.nan), where=counts > 0
    ).mean(1)
    widened = stats.t.ppf((1 - level) / 2, least - 1) * np.sqrt(least / (least - 1))
    tail = float(stats.norm.cdf(widened))
    low, high = np.quantile(means[np.isfinite(means)], [tail, 1 - tail])
    return Interval(value, np.asarray(low), np.asarray(high))


def column(values: Float64[np.ndarray, "N"], replicates: int, seed: int) -> Interval:
    """Return :func:`over_images` of a single column."""
    return over_images(values[:, None], replicates, seed=seed)


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
    if not np.isfinite(value) or not len(random):
        return float("nan")
    return (1 + int((random >= value).sum())) / (1 + len(random))


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

"""The one way to an interval: leave out one image (or group) at a time, and use Student's t.

What is left out is what chance draws: images, or whole groups of images that belong together.
No draw is made, so an interval is the same in every run.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64
from scipy import stats

LEAST_IMAGES = 10  # with fewer there is no interval
LEAST_GROUPS = 3
_EDGE = 1e-12  # a share so near to 0 or 1 has no logit


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


def jackknife(
    value: Float64[np.ndarray, "*S"],
    without: Float64[np.ndarray, "U *S"],
    weight: Float[np.ndarray, "U *S"] | None = None,
    level: float = 0.95,
    share: bool = False,
    least: int = LEAST_IMAGES,
) -> Interval:
    r"""Return intervals from the values that remain when each unit is left out.

    .. math:: v = \frac{n - 1}{n} \sum_u (\theta_{-u} - \theta)^2, \qquad
       \theta \pm t_{n^* - 1} \sqrt{v}, \qquad n^* = \frac{(\sum_u a_u)^2}{\sum_u a_u^2}

    The delete-one jackknife (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 11).
    A few large units count as fewer than they are: n* is Kish's effective number (*Survey
    Sampling*, 1965). A share gets its bounds on the scale of logits, and so stays within [0, 1].

    Args:
        value: Estimates from all units.
        without: The same without each of U units; NaN for a unit that an estimate does not have.
        weight: What each unit counts in an estimate, a; all the same if absent.
        level: How often an interval should hold the truth, in (0, 1).
        share: Whether estimates are shares.
        least: Units that an interval needs.

    Returns:
        NaN bounds where there are fewer units.

    Example:
        >>> values = np.arange(10.0)
        >>> without = (values.sum() - values) / 9
        >>> jackknife(np.array(4.5), without).array().round(3).tolist()
        [4.5, 2.334, 6.666]
    """
    there = np.isfinite(without)
    change = np.where(there, without - value, 0.0)
    counted = there * (1.0 if weight is None else np.where(there, weight, 0.0))
    squares, units = np.asarray((change**2).sum(0)), np.asarray(there.sum(0))
    return student(
        value,
        squares,
        units,
        effective_number(np.asarray(counted.sum(0)), np.asarray((counted**2).sum(0))),
        level,
        share,
        least,
    )


def effective_number(
    total: Float64[np.ndarray, "*S"], squares: Float64[np.ndarray, "*S"]
) -> Float64[np.ndarray, "*S"]:
    """Return Kish's number of units from the sums of their weights and of the squares of these."""
    return np.asarray(total**2 / np.where(squares > 0, squares, np.inf))


def student(
    value: Float64[np.ndarray, "*S"],
    squares: Float64[np.ndarray, "*S"],
    units: Int64[np.ndarray, "*S"],
    effective: Float64[np.ndarray, "*S"],
    level: float = 0.95,
    share: bool = False,
    least: int | Int64[np.ndarray, "*S"] = LEAST_IMAGES,
) -> Interval:
    """Return the intervals of :func:`jackknife` from sums over units.

    Args:
        value: Estimates.
        squares: Sums of the squared changes that leaving out each unit makes.
        units: Numbers of units, n.
        effective: Their effective numbers, n*.
        level: How often an interval should hold the truth, in (0, 1).
        share: Whether estimates are shares.
        least: Units that an interval needs.
    """
    n = np.maximum(units, 1).astype(np.float64)
    error = np.sqrt((n - 1) / n * squares)
    reach = error * stats.t.ppf((1 + level) / 2, np.maximum(effective - 1, 1.0))
    if share:
        inside = np.clip(value, _EDGE, 1 - _EDGE)
        middle, slope = np.log(inside / (1 - inside)), inside * (1 - inside)
        low, high = (1 / (1 + np.exp(-(middle + d * reach / slope))) for d in (-1.0, 1.0))
        edge = (value <= _EDGE) | (value >= 1 - _EDGE)  # no unit changes such a share but at once
        low, high = np.where(edge, value - reach, low), np.where(edge, value + reach, high)
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    else:
        low, high = value - reach, value + reach
    enough = (units >= least) & np.isfinite(value)
    return Interval(value, np.where(enough, low, np.nan), np.where(enough, high, np.nan))

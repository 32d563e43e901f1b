"""The one way to an interval: leave out one image (or group) at a time, and use Student's t.

What is left out is what chance draws: images, or whole groups of images that belong together.
No draw is made, so an interval is the same in every run.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy import stats

LEAST_IMAGES = 10  # with fewer there is no interval
LEAST_GROUPS = 3
_EDGE = 1e-12  # a share so near to 0 or 1 has no logit
_NOTHING = 1e-100  # a sum of squares so small that its square is none
_STRAIGHT = 1e-6  # a skewness that bends nothing


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
class Changes:
    """What leaving out each unit changes in an estimate, summed over the units.

    Args:
        units: Numbers of units, n.
        weights: Sums of what each unit counts in the estimate, and of the square of that.
        powers: Sums of the second, third and fourth powers of the changes.
    """

    units: Int64[np.ndarray, "*S"]
    weights: Float64[np.ndarray, "2 *S"]
    powers: Float64[np.ndarray, "3 *S"]

    @classmethod
    def over(
        cls, change: Float64[np.ndarray, "U *S"], weight: Float64[np.ndarray, "U *S"]
    ) -> "Changes":
        """Sum over the first axis; a unit that an estimate does not have has a change of NaN."""
        there = np.isfinite(change)
        change, weight = np.where(there, change, 0.0), np.where(there, weight, 0.0)
        return cls(
            np.asarray(there.sum(0)),
            np.stack([weight.sum(0), (weight**2).sum(0)]),
            np.stack([(change**power).sum(0) for power in (2, 3, 4)]),
        )

    @classmethod
    def by(
        cls,
        of: Int64[np.ndarray, "Q"],
        size: int,
        change: Float64[np.ndarray, "Q"],
        weight: Float64[np.ndarray, "Q"],
    ) -> "Changes":
        """Sum the entries of each of ``size`` estimates; an entry is of the estimate ``of``."""

        def summed(*rows: Float64[np.ndarray, "Q"]) -> Float64[np.ndarray, "n C"]:
            return np.stack([np.bincount(of, row, size) for row in rows]).astype(np.float64)

        return cls(
            np.bincount(of, minlength=size),
            summed(weight, weight**2),
            summed(change**2, change**3, change**4),
        )

    @property
    def effective(self) -> Float64[np.ndarray, "*S"]:
        """The effective numbers of units, n*: at most n."""
        by_weight = effective_number(*map(np.asarray, self.weights))
        few = np.sqrt(self.units * by_weight)
        return np.asarray(np.where(self._many, np.minimum(by_weight, self._steady), few))

    @property
    def error(self) -> Float64[np.ndarray, "*S"]:
        """Standard errors of the estimates."""
        n = np.maximum(self.units, 1)
        return np.asarray(np.sqrt((n - 1) / n * self.powers[0]))

    @property
    def skewness(self) -> Float64[np.ndarray, "*S"]:
        """Skewness of the estimates; 0 below ten units, which show little but noise.

        Of a mean of normal units it has no bias.
        """
        n = np.maximum(self.units, LEAST_IMAGES)
        # An estimate misses the unit that is left out: hence the sign.
        found = -np.sqrt(n * (n - 1)) / (n - 2) * self.powers[1] / self._safe**1.5
        return np.where(self._many, found, 0.0)

    @property
    def _steady(self) -> Float64[np.ndarray, "*S"]:
        """How many normal units have a variance that is as uncertain."""
        spread = self.powers[2] / self._safe**2 - 1 / np.maximum(self.units, 1)
        return np.asarray(1 + 2 / np.maximum(spread, _STRAIGHT))

    @property
    def _many(self) -> Bool[np.ndarray, "*S"]:
        """Whether units are enough to see more in them than noise."""
        return np.asarray(self.units >= LEAST_IMAGES)

    @property
    def _safe(self) -> Float64[np.ndarray, "*S"]:
        return np.where(self.powers[0] > _NOTHING, self.powers[0], 1.0)


def jackknife(
    value: Float64[np.ndarray, "*S"],
    without: Float64[np.ndarray, "U *S"],
    weight: Float[np.ndarray, "U *S"] | None = None,
    level: float = 0.95,
    share: bool = False,
    least: int = LEAST_IMAGES,
    skewed: bool = False,
) -> Interval:
    r"""Return intervals from the values that remain when each unit is left out.

    .. math:: v = \frac{n - 1}{n} \sum_u (\theta_{-u} - \theta)^2, \qquad
       \theta \pm t_{n^* - 1} \sqrt{v}, \qquad n^* = \frac{(\sum_u a_u)^2}{\sum_u a_u^2}

    The delete-one jackknife (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, ch. 11).
    A few large units count as fewer than they are: n* is Kish's effective number (*Survey
    Sampling*, 1965), and at most the number of normal units whose variance is as uncertain
    (Satterthwaite, *An approximate distribution of estimates of variance components*, 1946). Of
    fewer than ten units, such as films, it is the geometric mean of Kish's number and n, which
    simulations of unequal films chose: Kish's alone makes intervals too long, and n too short. A
    share gets its bounds on the scale of logits, and so stays within [0, 1].

    Where units may be skewed, as in a set IoU of a few large objects or in the effects of a change,
    t is bent by their skewness, so that an interval reaches further to the side of the large ones
    (Hall, *On the removal of skewness by transformation*, 1992). Differences of two scores are
    better without: there the skewness that few units show is mostly noise.

    Args:
        value: Estimates from all units.
        without: The same without each of U units; NaN for a unit that an estimate does not have.
        weight: What each unit counts in an estimate, a; all the same if absent.
        level: How often an interval should hold the truth, in (0, 1).
        share: Whether estimates are shares.
        least: Units that an interval needs.
        skewed: Whether to follow the skewness of the units.

    Returns:
        NaN bounds where there are fewer units.

    Example:
        >>> values = np.arange(10.0)
        >>> without = (values.sum() - values) / 9
        >>> jackknife(np.array(4.5), without).array().round(3).tolist()
        [4.5, 2.334, 6.666]
    """
    counted = np.ones_like(without) if weight is None else np.asarray(weight, dtype=np.float64)
    changes = Changes.over(without - value, np.broadcast_to(counted, without.shape))
    return student(value, changes, level, share, least, skewed)


def effective_number(
    total: Float64[np.ndarray, "*S"], squares: Float64[np.ndarray, "*S"]
) -> Float64[np.ndarray, "*S"]:
    """Return Kish's number of units from the sums of their weights and of the squares of these."""
    return np.asarray(total**2 / np.where(squares > 0, squares, np.inf))


def student(
    value: Float64[np.ndarray, "*S"],
    changes: Changes,
    level: float = 0.95,
    share: bool = False,
    least: int | Int64[np.ndarray, "*S"] = LEAST_IMAGES,
    skewed: bool = False,
) -> Interval:
    """Return the intervals of :func:`jackknife` from sums over units.

    Args:
        value: Estimates.
        changes: Of the estimates.
        level: How often an interval should hold the truth, in (0, 1).
        share: Whether estimates are shares.
        least: Units that an interval needs.
        skewed: Whether to follow the skewness of the units.
    """
    t = stats.t.ppf((1 + level) / 2, np.maximum(changes.effective - 1, 1.0))
    below, above = _bent(np.stack([t, -t]), changes.skewness) if skewed else (t, -t)
    down, up = changes.error * below, -changes.error * above
    if share:
        inside = np.clip(value, _EDGE, 1 - _EDGE)
        middle, slope = np.log(inside / (1 - inside)), inside * (1 - inside)
        low, high = (1 / (1 + np.exp(-(middle + d / slope))) for d in (-down, up))
        edge = (value <= _EDGE) | (value >= 1 - _EDGE)  # no unit changes such a share but at once
        low, high = np.where(edge, value - down, low), np.where(edge, value + up, high)
        low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
    else:
        low, high = value - down, value + up
    enough = (changes.units >= least) & np.isfinite(value)
    return Interval(value, np.where(enough, low, np.nan), np.where(enough, high, np.nan))


def _bent(
    t: Float64[np.ndarray, "2 *S"], skewness: Float64[np.ndarray, "*S"]
) -> Float64[np.ndarray, "2 *S"]:
    r"""Return the studentised x at which :math:`x + hx^2/3 + h^2x^3/27 + h/6` is t; h: skewness."""
    h = np.where(np.abs(skewness) > _STRAIGHT, skewness, 1.0)
    bent = 3 * (np.cbrt(1 + h * (t - h / 6)) - 1) / h
    return np.where(np.abs(skewness) > _STRAIGHT, bent, t)
